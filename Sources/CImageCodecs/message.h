#pragma once
#include <stdio.h>

#include "include/cimagecodecs.h"

static inline void cic_set_message(char message[CIC_MESSAGE_LENGTH], const char *text) {
  snprintf(message, CIC_MESSAGE_LENGTH, "%s", text);
}

static inline cic_status cic_out_of_memory(char message[CIC_MESSAGE_LENGTH]) {
  cic_set_message(message, "out of memory");
  return CIC_OUT_OF_MEMORY;
}
