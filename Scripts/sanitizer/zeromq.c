// Shows the thread sanitizer that a message from thread to thread orders what its sender did before what its receiver does.
//
// libzmq hands messages over with atomic operations that are not instrumented. Nobody shares memory over TCP, but tickets that
// go over inproc:// pass a job on from one thread to the next, without a lock. So each inproc endpoint of a context is an
// address here, released before a message is sent and acquired once one was received. Only these orders are added: a job that
// two threads used at the same time would be reported still.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void __tsan_acquire(void *address);
void __tsan_release(void *address);

typedef struct {
  _Atomic(void *) socket;
  _Atomic(void *) context;
  _Atomic(char *) endpoint;
} entry;

#define ENTRIES (1 << 16)
#define ENDPOINTS (1 << 20)
static entry entries[ENTRIES];
static char endpoints[ENDPOINTS * 8];

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

// The place of a socket. Addresses come again and places are kept, so the table does not fill.
static entry *find(void *socket) {
  for (size_t i = (uintptr_t)socket / 16, tried = 0; tried < ENTRIES; i++, tried++) {
    entry *place = &entries[i % ENTRIES];
    void *found = NULL;
    if (atomic_compare_exchange_strong(&place->socket, &found, socket) || found == socket) return place;
  }
  abort();
}

static void name(void *socket, const char *endpoint) {
  if (strncmp(endpoint, "inproc://", 9) != 0) return;
  entry *place = find(socket);
  uint64_t hash = (uintptr_t)atomic_load(&place->context);
  for (; *endpoint; endpoint++) hash = (hash ^ (unsigned char)*endpoint) * 0x100000001b3;
  atomic_store(&place->endpoint, &endpoints[(hash >> 20) % ENDPOINTS * 8]);
}

void *zmq_socket(void *context, int type) {
  void *socket = REAL(zmq_socket)(context, type);
  if (socket) {
    entry *place = find(socket);
    atomic_store(&place->context, context);
    atomic_store(&place->endpoint, NULL);
  }
  return socket;
}

int zmq_bind(void *socket, const char *endpoint) {
  name(socket, endpoint);
  return REAL(zmq_bind)(socket, endpoint);
}

int zmq_connect(void *socket, const char *endpoint) {
  name(socket, endpoint);
  return REAL(zmq_connect)(socket, endpoint);
}

int zmq_msg_send(void *message, void *socket, int flags) {
  char *endpoint = atomic_load(&find(socket)->endpoint);
  if (endpoint) __tsan_release(endpoint);
  return REAL(zmq_msg_send)(message, socket, flags);
}

int zmq_msg_recv(void *message, void *socket, int flags) {
  int count = REAL(zmq_msg_recv)(message, socket, flags);
  char *endpoint = atomic_load(&find(socket)->endpoint);
  if (count >= 0 && endpoint) __tsan_acquire(endpoint);
  return count;
}
