#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "greeting.h"

int main(void) {
  char *message = greeting("hi", 3);
  assert(!strcmp(message, "{\"text\": \"hi\", \"count\": 3}"));
  free(message);

  char *text = text_member("{\"a\":1,\"greeting\":\"h\\\"i\"}", "greeting", "hello");
  assert(!strcmp(text, "h\\\"i"));
  free(text);
  return 0;
}
