// What the system knows and Swift's Glibc module does not tell.
#pragma once
#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

static inline int tcp_port(int descriptor, int (*name)(int, struct sockaddr *, socklen_t *)) {
  struct sockaddr_storage address;
  socklen_t size = sizeof address;
  int type = 0;
  socklen_t type_size = sizeof type;
  if (getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &type_size) != 0 || type != SOCK_STREAM) return -1;
  if (name(descriptor, (struct sockaddr *)&address, &size) != 0) return -1;
  if (address.ss_family == AF_INET) return ntohs(((struct sockaddr_in *)&address)->sin_port);
  if (address.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
  return -1;
}

static inline int tcp_peer(int descriptor, struct sockaddr *address, socklen_t *size) {
  return getpeername(descriptor, address, size);
}

static inline int tcp_own(int descriptor, struct sockaddr *address, socklen_t *size) {
  return getsockname(descriptor, address, size);
}

// The port on this side of a TCP connection over IP; -1 for any other descriptor.
static inline int local_tcp_port(int descriptor) { return tcp_port(descriptor, tcp_own); }

// The port on the other side.
static inline int remote_tcp_port(int descriptor) { return tcp_port(descriptor, tcp_peer); }

// How many bytes have come over a TCP connection (tcpi_bytes_received of Linux's tcp_info, which the C library's does not
// have); -1 where that cannot be told.
static inline int64_t received_tcp_bytes(int descriptor) {
  unsigned char information[256];
  socklen_t size = sizeof information;
  if (getsockopt(descriptor, IPPROTO_TCP, 11 /* TCP_INFO */, information, &size) != 0 || size < 136) return -1;
  int64_t bytes;
  memcpy(&bytes, information + 128, sizeof bytes);
  return bytes;
}

// Which CPUs a thread may run on, a bit each from the lowest of the first byte; the C library's functions and their macros are
// hidden from Swift. Both return a negative number with errno, ENOSYS where the platform has no such thing; `thread_cpus` else
// how many bytes it wrote.
static inline long set_thread_cpus(int thread, const unsigned long *bits, size_t bytes) {
#if defined(__linux__)
  return syscall(SYS_sched_setaffinity, thread, bytes, bits);
#else
  errno = ENOSYS;
  return -1;
#endif
}

static inline long thread_cpus(int thread, unsigned long *bits, size_t bytes) {
#if defined(__linux__)
  return syscall(SYS_sched_getaffinity, thread, bytes, bits);
#else
  errno = ENOSYS;
  return -1;
#endif
}
