// PNG by libpng. Source: libpng-manual.txt, chapters III and IV.
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "include/cimagecodecs.h"
#include "message.h"

/// What libpng's callbacks see; `bytes` when reading, `encoded` when writing.
typedef struct png_state {
  const uint8_t *bytes;
  size_t count;
  size_t offset;
  uint8_t *encoded;
  size_t capacity;
  cic_status status;
  char *message;
} png_state;

static void on_error(png_structp png, png_const_charp text) {
  png_state *state = png_get_error_ptr(png);
  if (state->status == CIC_OK) {
    state->status = CIC_MALFORMED;
    cic_set_message(state->message, text);
  }
  png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
  (void)png;
  (void)text;
}

static void read_bytes(png_structp png, png_bytep out, size_t length) {
  png_state *state = png_get_io_ptr(png);
  if (length > state->count - state->offset) {
    state->status = CIC_TRUNCATED;
    cic_set_message(state->message, "the file ends within a chunk");
    png_error(png, "truncated");
  }
  memcpy(out, state->bytes + state->offset, length);
  state->offset += length;
}

cic_status cic_decode_png(const uint8_t *bytes, size_t count, size_t width, size_t height, uint8_t *rgb,
                          char message[CIC_MESSAGE_LENGTH]) {
  png_state state = {.bytes = bytes, .count = count, .status = CIC_OK, .message = message};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &state, on_error, on_warning);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  if (!info) {
    png_destroy_read_struct(&png, NULL, NULL);
    return cic_out_of_memory(message);
  }
  if (setjmp(png_jmpbuf(png))) {
    png_destroy_read_struct(&png, &info, NULL);
    return state.status;
  }
  png_set_read_fn(png, &state, read_bytes);
  png_set_user_limits(png, (png_uint_32)width, (png_uint_32)height);
  // Texts and profiles are not used; passing over them unread, they cannot inflate to anything.
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
  png_read_info(png, info);
  if (png_get_image_width(png, info) != width || png_get_image_height(png, info) != height)
    png_error(png, "it has two different sizes");

  int color = png_get_color_type(png, info);
  int depth = png_get_bit_depth(png, info);
  if (depth == 16) png_set_strip_16(png);
  if (color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (color == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(png);
  if (color == PNG_COLOR_TYPE_GRAY || color == PNG_COLOR_TYPE_GRAY_ALPHA) png_set_gray_to_rgb(png);
  png_set_strip_alpha(png);
  int passes = png_set_interlace_handling(png);
  png_read_update_info(png, info);
  if (png_get_rowbytes(png, info) != width * 3) png_error(png, "its rows are of an unexpected length");

  for (int pass = 0; pass < passes; pass++)
    for (size_t y = 0; y < height; y++) png_read_row(png, rgb + y * width * 3, NULL);
  png_read_end(png, NULL);
  png_destroy_read_struct(&png, &info, NULL);
  return CIC_OK;
}

static void write_bytes(png_structp png, png_bytep data, size_t length) {
  png_state *state = png_get_io_ptr(png);
  if (length > state->capacity - state->offset) {
    size_t capacity = state->capacity * 2 + length + 4096;
    uint8_t *grown = realloc(state->encoded, capacity);
    if (!grown) {
      state->status = cic_out_of_memory(state->message);
      png_error(png, "out of memory");
    }
    state->encoded = grown;
    state->capacity = capacity;
  }
  memcpy(state->encoded + state->offset, data, length);
  state->offset += length;
}

static void flush_bytes(png_structp png) { (void)png; }

cic_status cic_encode_png(const void *pixels, size_t width, size_t height, int channels, int depth, int level,
                          uint8_t **encoded, size_t *encoded_count, char message[CIC_MESSAGE_LENGTH]) {
  png_state state = {.status = CIC_OK, .message = message};
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &state, on_error, on_warning);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  if (!info) {
    png_destroy_write_struct(&png, NULL);
    return cic_out_of_memory(message);
  }
  if (setjmp(png_jmpbuf(png))) {
    png_destroy_write_struct(&png, &info);
    free(state.encoded);
    return state.status;
  }
  png_set_write_fn(png, &state, write_bytes, flush_bytes);
  png_set_compression_level(png, level);
  // In masks and label maps most rows are as the one above; to try all filters takes most of the time.
  if (channels == 1) png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_UP);
  png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, depth,
               channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  if (depth == 16) png_set_swap(png);
#endif
  size_t row = width * (size_t)channels * (size_t)(depth / 8);
  for (size_t y = 0; y < height; y++) png_write_row(png, (const uint8_t *)pixels + y * row);
  png_write_end(png, NULL);
  png_destroy_write_struct(&png, &info);
  *encoded = state.encoded;
  *encoded_count = state.offset;
  return CIC_OK;
}

void cic_free(uint8_t *encoded) { free(encoded); }
