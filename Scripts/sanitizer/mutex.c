// Shows the thread sanitizer the slow half of Swift's Mutex.
//
// The fast half, an atomic exchange, is compiled into our code and the sanitizer sees it. Where two threads meet, the lock is
// taken and given by the kernel from within libswiftSynchronization, which is not instrumented: without these two functions
// whatever a contended Mutex guards would be reported as a race. They are linked into the sanitized executables alone, go before
// the library's functions of the same names, and call them.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>

#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *self
#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

void __tsan_acquire(void *address);
void __tsan_release(void *address);

SWIFT void lock_slow(uint32_t thread, SELF) __asm__(LOCK);
SWIFT void unlock_slow(SELF) __asm__(UNLOCK);

SWIFT void lock_slow(uint32_t thread, SELF) {
  SWIFT void (*real)(uint32_t, SELF) = dlsym(RTLD_NEXT, LOCK);
  real(thread, self);
  __tsan_acquire(self);
}

SWIFT void unlock_slow(SELF) {
  SWIFT void (*real)(SELF) = dlsym(RTLD_NEXT, UNLOCK);
  __tsan_release(self);
  real(self);
}
