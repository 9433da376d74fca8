/* A Plantower PMS5003 particle sensor. A gateway publishes the bytes of its serial line on serial/<place>, in pieces of any size.
 *
 * A frame has 32 bytes: 0x42 0x4d, the length of the rest (28), thirteen numbers of 16 bits, and the sum of all bytes before. Numbers are
 * big-endian. Frames whose sum is wrong, and bytes between frames, are counted and skipped. The state of each line is kept, so
 * that a frame may begin before a restart and end after it. */
#include "miqro.h"

#define FRAME 32
#define NUMBERS 13

typedef struct {
  uint32_t length, skipped, damaged;
  uint8_t bytes[FRAME];
} line_state;

static unsigned number_at(const uint8_t *bytes) { return (unsigned)bytes[0] << 8 | bytes[1]; }

static bool sum_is_right(const uint8_t *frame) {
  unsigned sum = 0;
  for (size_t at = 0; at < FRAME - 2; at++) sum += frame[at];
  return (sum & 0xffff) == number_at(frame + FRAME - 2);
}

/* Whether the bytes so far can be the beginning of a frame. */
static bool may_begin_frame(const uint8_t *bytes, size_t length) {
  static const uint8_t start[] = {0x42, 0x4d, 0, 28};
  return memcmp(bytes, start, length < sizeof start ? length : sizeof start) == 0;
}

/* Drops the first byte, and further ones until a frame may begin. */
static void skip(line_state *line) {
  do {
    line->length--;
    line->skipped++;
    memmove(line->bytes, line->bytes + 1, line->length);
  } while (line->length > 0 && !may_begin_frame(line->bytes, line->length));
}

static bool publish_frame(const char *place, const uint8_t *frame) {
  unsigned numbers[NUMBERS];
  for (size_t at = 0; at < NUMBERS; at++) numbers[at] = number_at(frame + 4 + 2 * at);

  char topic[256];
  snprintf(topic, sizeof topic, "air/%s", place);
  /* the first three numbers are for factories, the next three for the atmosphere, then particles in 0.1 l of air */
  return miqro_publishf(topic, "{\"pm1\": %u, \"pm2_5\": %u, \"pm10\": %u, \"count_0_3\": %u, \"count_2_5\": %u}", numbers[3], numbers[4],
                        numbers[5], numbers[6], numbers[9]);
}

static bool take(const char *place, line_state *line, uint8_t byte) {
  line->bytes[line->length++] = byte;
  if (!may_begin_frame(line->bytes, line->length)) {
    skip(line);
    return true;
  }
  if (line->length < FRAME) return true;

  if (!sum_is_right(line->bytes)) {
    line->damaged++;
    /* the beginning of the next frame may be among these bytes */
    skip(line);
    return true;
  }
  line->length = 0;
  return publish_frame(place, line->bytes);
}

static bool on_serial(miqro_message message) {
  const char *place = message.matches[0];
  miqro_bytes kept;
  if (!miqro_state_get(place, &kept)) return false;
  line_state line = {0};
  if (kept.length == sizeof line) memcpy(&line, kept.data, sizeof line);
  free((void *)kept.data);

  uint32_t faults = line.skipped + line.damaged;
  const uint8_t *bytes = (const uint8_t *)message.payload;
  for (size_t at = 0; at < message.length; at++) {
    if (!take(place, &line, bytes[at])) return false;
  }

  if (line.skipped + line.damaged != faults) {
    char topic[256];
    snprintf(topic, sizeof topic, "faults/%s", place);
    if (!miqro_publishf(topic, "{\"skipped\": %u, \"damaged\": %u}", (unsigned)line.skipped, (unsigned)line.damaged)) return false;
  }
  return miqro_state_set(place, &line, sizeof line);
}

MIQRO_SERVICE(MIQRO_HANDLE("serial/+", on_serial))
