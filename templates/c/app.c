/* {{name}}: answers messages, and publishes a greeting every ten seconds. */
#include "miqro.h"
#include "greeting.h"

static bool echo(miqro_message message) {
  return miqro_publish("echo_response", message.payload, message.length);
}

/* The greeting of the section in miqro.yml; a JSON library would read it better. */
static char *greeting_text(void) {
  char *section = miqro_config();
  char *text = text_member(section, "greeting", "hello");
  free(section);
  return text;
}

static bool greet(void) {
  miqro_bytes value;
  if (!miqro_state_get("count", &value)) return false;
  char number[24] = "0";
  snprintf(number, sizeof number, "%.*s", (int)value.length, value.data ? (const char *)value.data : "0");
  free((void *)value.data);

  long count = strtol(number, NULL, 10) + 1;
  int length = snprintf(number, sizeof number, "%ld", count);
  if (!miqro_state_set("count", number, (size_t)length)) return false;

  char *text = greeting_text();
  char *message = greeting(text, count);
  bool done = miqro_publish("greeting", message, strlen(message));
  free(message);
  free(text);
  return done;
}

MIQRO_SERVICE(MIQRO_HANDLE("echo", echo), MIQRO_EVERY(10000, greet))
