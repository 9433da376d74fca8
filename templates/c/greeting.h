#ifndef GREETING_H
#define GREETING_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The greeting that is published: free it. The text is what JSON has between its quotes. */
static inline char *greeting(const char *text, long count) {
  const char *format = "{\"text\": \"%s\", \"count\": %ld}";
  int length = snprintf(NULL, 0, format, text, count);
  char *message = (char *)malloc((size_t)length + 1);
  snprintf(message, (size_t)length + 1, format, text, count);
  return message;
}

/* The text of a member of a JSON object, or `otherwise`: free it. */
static inline char *text_member(const char *object, const char *name, const char *otherwise) {
  char key[64];
  snprintf(key, sizeof key, "\"%s\":\"", name);
  const char *begin = strstr(object, key);
  size_t length = 0;
  if (begin) {
    begin += strlen(key);
    while (begin[length] && begin[length] != '"') length += begin[length] == '\\' && begin[length + 1] ? 2 : 1;
  } else {
    begin = otherwise;
    length = strlen(otherwise);
  }
  char *found = (char *)malloc(length + 1);
  memcpy(found, begin, length);
  found[length] = 0;
  return found;
}

#endif
