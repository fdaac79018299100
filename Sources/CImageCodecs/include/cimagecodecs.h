/// libpng and libjpeg behind plain calls.
///
/// Both libraries report errors by longjmp, which must never cross a Swift frame: here it ends in the C function that
/// called setjmp, and the caller gets a status and a message. Nothing is shared between calls, so any thread may call.
///
/// Legend: pixels are dense, row-major, 8 bits a channel unless said.
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef enum cic_status {
  CIC_OK = 0,
  /// The bytes end too early.
  CIC_TRUNCATED = 1,
  /// The bytes are no such picture; the message is the library's.
  CIC_MALFORMED = 2,
  CIC_OUT_OF_MEMORY = 3,
} cic_status;

/// The size of every message buffer.
enum { CIC_MESSAGE_LENGTH = 256 };

/// Decodes a PNG of any colour type and depth into rgb[height, width, 3]. Alpha is dropped, of 16 bits the high eight
/// stay. The width and height are those that the caller read from the header; another size is CIC_MALFORMED.
cic_status cic_decode_png(const uint8_t *bytes, size_t count, size_t width, size_t height, uint8_t *rgb,
                          char message[CIC_MESSAGE_LENGTH]);

/// Decodes a JPEG into rgb[height, width, 3], with the exact integer DCT and fancy upsampling. CMYK and YCCK are taken
/// as Adobe writes them, inverted.
cic_status cic_decode_jpeg(const uint8_t *bytes, size_t count, size_t width, size_t height, uint8_t *rgb,
                           char message[CIC_MESSAGE_LENGTH]);

/// Encodes pixels[height, width, channels], channels 1 or 3, of depth 8 or 16 (16: in the machine's byte order).
/// @param encoded on CIC_OK a buffer for cic_free, of *encoded_count bytes.
cic_status cic_encode_png(const void *pixels, size_t width, size_t height, int channels, int depth, int level,
                          uint8_t **encoded, size_t *encoded_count, char message[CIC_MESSAGE_LENGTH]);

/// Encodes rgb[height, width, 3] as a baseline JPEG of quality 1…100.
/// @param encoded on CIC_OK a buffer for cic_free, of *encoded_count bytes.
cic_status cic_encode_jpeg(const uint8_t *rgb, size_t width, size_t height, int quality, uint8_t **encoded,
                           size_t *encoded_count, char message[CIC_MESSAGE_LENGTH]);

void cic_free(uint8_t *encoded);
