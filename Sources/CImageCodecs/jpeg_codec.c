// JPEG by libjpeg. Source: libjpeg.txt and example.txt of libjpeg-turbo.
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// libjpeg's headers want stdio's and stddef's names first.
#include <jpeglib.h>
#include <jerror.h>

#include "include/cimagecodecs.h"
#include "message.h"

/// Progressive files have about ten scans; each costs a pass over the whole picture however few bytes it has.
enum { SCAN_LIMIT = 64 };

/// A progressive file of few bytes can want all its coefficients in memory at once: as many as 42 million pixels have
/// with full colour, and 84 million with the usual quarter of it.
static const long MEMORY_LIMIT = 256L << 20;

/// libjpeg's error manager, which must come first, and the place to return to.
typedef struct jpeg_state {
  struct jpeg_error_mgr manager;
  jmp_buf escape;
  cic_status status;
  char *message;
} jpeg_state;

static void fail(j_common_ptr codec, cic_status status, const char *text) {
  jpeg_state *state = (jpeg_state *)codec->err;
  state->status = status;
  cic_set_message(state->message, text);
  longjmp(state->escape, 1);
}

static void on_error(j_common_ptr codec) {
  // Beyond its limit libjpeg wants a file, and the usual build of it has none.
  if (codec->err->msg_code == JERR_NO_BACKING_STORE) fail(codec, CIC_OUT_OF_MEMORY, "its scans need over 256 MiB");
  char text[JMSG_LENGTH_MAX];
  codec->err->format_message(codec, text);
  fail(codec, codec->err->msg_code == JERR_OUT_OF_MEMORY ? CIC_OUT_OF_MEMORY : CIC_MALFORMED, text);
}

/// libjpeg goes on with grey where data is missing or broken; here such a picture is refused.
static void on_message(j_common_ptr codec, int level) {
  if (level >= 0) return;
  char text[JMSG_LENGTH_MAX];
  switch (codec->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
      codec->err->format_message(codec, text);
      fail(codec, CIC_TRUNCATED, text);
      break;
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
      codec->err->format_message(codec, text);
      fail(codec, CIC_MALFORMED, text);
      break;
    default: break;
  }
}

static void on_output(j_common_ptr codec) { (void)codec; }

static void prepare(jpeg_state *state, char *message) {
  jpeg_std_error(&state->manager);
  state->manager.error_exit = on_error;
  state->manager.emit_message = on_message;
  state->manager.output_message = on_output;
  state->status = CIC_OK;
  state->message = message;
}

static void source_nothing(j_decompress_ptr codec) { (void)codec; }

static boolean source_ended(j_decompress_ptr codec) {
  fail((j_common_ptr)codec, CIC_TRUNCATED, "the file ends before its end marker");
  return FALSE;
}

static void source_skip(j_decompress_ptr codec, long count) {
  if (count <= 0) return;
  if ((size_t)count > codec->src->bytes_in_buffer) source_ended(codec);
  codec->src->next_input_byte += count;
  codec->src->bytes_in_buffer -= (size_t)count;
}

static void on_progress(j_common_ptr codec) {
  if (codec->is_decompressor && ((j_decompress_ptr)codec)->input_scan_number > SCAN_LIMIT)
    fail(codec, CIC_MALFORMED, "it has more than 64 scans");
}

/// Inverted CMYK to RGB, rounding as Pillow does: one of `cmyk2rgb` in its Convert.c for each pixel.
static void convert_cmyk_row(const uint8_t *cmyk, size_t width, uint8_t *rgb) {
  for (size_t x = 0; x < width; x++) {
    int key = cmyk[4 * x + 3];
    for (int c = 0; c < 3; c++) {
      int product = (255 - cmyk[4 * x + c]) * key + 128;
      rgb[3 * x + c] = (uint8_t)(key - (((product >> 8) + product) >> 8));
    }
  }
}

cic_status cic_decode_jpeg(const uint8_t *bytes, size_t count, size_t width, size_t height, uint8_t *rgb,
                           char message[CIC_MESSAGE_LENGTH]) {
  struct jpeg_decompress_struct codec;
  jpeg_state state;
  struct jpeg_source_mgr source = {
      .next_input_byte = bytes,
      .bytes_in_buffer = count,
      .init_source = source_nothing,
      .fill_input_buffer = source_ended,
      .skip_input_data = source_skip,
      .resync_to_restart = jpeg_resync_to_restart,
      .term_source = source_nothing,
  };
  struct jpeg_progress_mgr progress = {.progress_monitor = on_progress};
  memset(&codec, 0, sizeof codec);
  prepare(&state, message);
  codec.err = &state.manager;
  if (setjmp(state.escape)) {
    jpeg_destroy_decompress(&codec);
    return state.status;
  }
  jpeg_create_decompress(&codec);
  codec.mem->max_memory_to_use = MEMORY_LIMIT;
  codec.src = &source;
  codec.progress = &progress;
  jpeg_read_header(&codec, TRUE);
  if (codec.image_width != width || codec.image_height != height)
    fail((j_common_ptr)&codec, CIC_MALFORMED, "it has two different sizes");
  int isCMYK = codec.num_components == 4;
  codec.out_color_space = isCMYK ? JCS_CMYK : JCS_RGB;
  codec.dct_method = JDCT_ISLOW;
  codec.do_fancy_upsampling = TRUE;
  jpeg_start_decompress(&codec);
  if (codec.output_width != width || codec.output_height != height || codec.output_components != (isCMYK ? 4 : 3))
    fail((j_common_ptr)&codec, CIC_MALFORMED, "its rows are of an unexpected length");
  JSAMPARRAY cmyk =
      isCMYK ? codec.mem->alloc_sarray((j_common_ptr)&codec, JPOOL_IMAGE, (JDIMENSION)(width * 4), 1) : NULL;
  while (codec.output_scanline < codec.output_height) {
    uint8_t *row = rgb + (size_t)codec.output_scanline * width * 3;
    JSAMPROW rows[1] = {isCMYK ? cmyk[0] : row};
    // The source never waits for more, so each call either gives the row or fails.
    jpeg_read_scanlines(&codec, rows, 1);
    if (isCMYK) convert_cmyk_row(cmyk[0], width, row);
  }
  jpeg_finish_decompress(&codec);
  jpeg_destroy_decompress(&codec);
  return CIC_OK;
}

/// A buffer that grows. libjpeg's own leaves its owner a freed pointer when it fails after growing.
typedef struct jpeg_output {
  struct jpeg_destination_mgr manager;
  uint8_t *buffer;
  size_t capacity;
} jpeg_output;

static void output_begins(j_compress_ptr codec) { (void)codec; }

static boolean output_is_full(j_compress_ptr codec) {
  jpeg_output *output = (jpeg_output *)codec->dest;
  size_t used = output->capacity;
  size_t capacity = used * 2 + 65536;
  uint8_t *grown = realloc(output->buffer, capacity);
  if (!grown) fail((j_common_ptr)codec, CIC_OUT_OF_MEMORY, "out of memory");
  output->buffer = grown;
  output->capacity = capacity;
  output->manager.next_output_byte = grown + used;
  output->manager.free_in_buffer = capacity - used;
  return TRUE;
}

static void output_ends(j_compress_ptr codec) { (void)codec; }

cic_status cic_encode_jpeg(const uint8_t *rgb, size_t width, size_t height, int quality, uint8_t **encoded,
                           size_t *encoded_count, char message[CIC_MESSAGE_LENGTH]) {
  struct jpeg_compress_struct codec;
  jpeg_state state;
  jpeg_output output = {.manager = {.init_destination = output_begins,
                                    .empty_output_buffer = output_is_full,
                                    .term_destination = output_ends}};
  memset(&codec, 0, sizeof codec);
  prepare(&state, message);
  codec.err = &state.manager;
  if (setjmp(state.escape)) {
    jpeg_destroy_compress(&codec);
    free(output.buffer);
    return state.status;
  }
  jpeg_create_compress(&codec);
  codec.dest = &output.manager;
  output_is_full(&codec);
  codec.image_width = (JDIMENSION)width;
  codec.image_height = (JDIMENSION)height;
  codec.input_components = 3;
  codec.in_color_space = JCS_RGB;
  jpeg_set_defaults(&codec);
  jpeg_set_quality(&codec, quality, TRUE);
  jpeg_start_compress(&codec, TRUE);
  while (codec.next_scanline < codec.image_height) {
    JSAMPROW rows[1] = {(JSAMPROW)(rgb + (size_t)codec.next_scanline * width * 3)};
    jpeg_write_scanlines(&codec, rows, 1);
  }
  jpeg_finish_compress(&codec);
  jpeg_destroy_compress(&codec);
  *encoded = output.buffer;
  *encoded_count = output.capacity - output.manager.free_in_buffer;
  return CIC_OK;
}
