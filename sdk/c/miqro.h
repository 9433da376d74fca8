/* Write MQTT services for MIQRO host in C and C++: one header, no generated code.
 *
 *   #include "miqro.h"
 *
 *   static bool echo(miqro_message message) { return miqro_publish("echo_response", message.payload, message.length); }
 *   static bool beat(void) { return miqro_publishf("beat", "{\"answer\": %.2f}", 42.01); }
 *
 *   MIQRO_SERVICE(MIQRO_HANDLE("echo", echo), MIQRO_EVERY(10000, beat))
 *
 * Publishes, subscriptions, state and timers of a call take effect when its functions return true, and not at all when one returns
 * false; then the host tries the message again. A function that the host refuses returns false and leaves the reason in
 * miqro_error(), so `return miqro_publish(..)` passes it on. Memory that a function of this header returns is freed by the caller with
 * free(), unless its comment says otherwise. Include it in one source file.
 */
#ifndef MIQRO_H
#define MIQRO_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- types ------------------------------------------------------------------------------------------------------------- */

/* Wildcards of a filter whose matches a handler gets. */
#define MIQRO_MATCHES 8

/* The message of a handler; valid during the call. */
typedef struct {
  const char *topic; /* below the base topic, or the full topic of a global filter */
  const void *payload;
  size_t length;
  const char *matches[MIQRO_MATCHES]; /* of the wildcards: a level for each +, the remainder for #; NULL beyond them */
} miqro_message;

/* Text or bytes that need not end with 0. */
typedef struct {
  const void *data;
  size_t length;
} miqro_bytes;

typedef struct {
  miqro_bytes name, value;
} miqro_pair;

/* Properties that travel with a message (MQTT 5). Fields without data are left out. */
typedef struct {
  miqro_bytes response_topic, correlation_data, content_type;
  uint32_t message_expiry; /* seconds; 0: none */
  bool utf8;
  const miqro_pair *user_properties;
  size_t user_properties_count;
} miqro_properties;

typedef struct {
  uint8_t qos; /* 0, 1 or 2 */
  bool retain;
  bool global;           /* the topic is a full one instead of one below the base topic */
  bool only_if_changed;  /* leave the message out when nothing changed, */
  uint64_t changed_within; /* in so many milliseconds; 0: however long ago */
  const miqro_properties *properties; /* NULL: none */
} miqro_options;

/* Facts about the message being handled; valid until the next miqro_current_message() and during the call. */
typedef struct {
  miqro_bytes topic; /* the full topic */
  bool relative, retain, dup;
  uint8_t qos;
  uint32_t attempt;
  bool has_properties;
  miqro_properties properties;
} miqro_info;

typedef enum { MIQRO_DELIVERED, MIQRO_TIMED_OUT, MIQRO_REFUSED } miqro_outcome;
typedef enum { MIQRO_TRACE, MIQRO_DEBUG, MIQRO_INFO, MIQRO_WARN, MIQRO_ERROR } miqro_level;

/* --- the functions of a service ---------------------------------------------------------------------------------------- */

typedef enum {
  MIQRO__END, MIQRO__HANDLE, MIQRO__EVERY, MIQRO__TIMER, MIQRO__START, MIQRO__STOP, MIQRO__CONNECTED, MIQRO__DISCONNECTED,
  MIQRO__DELIVERED, MIQRO__CONFIG_CHANGED, MIQRO__SAVE, MIQRO__LOAD, MIQRO__OTHER
} miqro__kind;

typedef struct {
  miqro__kind kind;
  const char *name; /* a filter, or the name of a timer */
  uint64_t period;
  uint8_t qos;
  bool global;
  union {
    bool (*plain)(void);
    bool (*message)(miqro_message);
    bool (*text)(const char *);
    bool (*flag)(bool);
    bool (*outcome)(uint64_t, miqro_outcome, miqro_bytes);
    miqro_bytes (*save)(void);
    bool (*load)(miqro_bytes);
  } run;
} miqro__entry;

#define MIQRO__ENTRY(kind, name, period, qos, global, member, function) {kind, name, period, qos, global, {.member = function}}
/* Messages below the base topic: bool function(miqro_message). */
#define MIQRO_HANDLE(filter, function) MIQRO__ENTRY(MIQRO__HANDLE, filter, 0, 1, false, message, function)
/* Messages of full topics. */
#define MIQRO_HANDLE_GLOBAL(filter, function) MIQRO__ENTRY(MIQRO__HANDLE, filter, 0, 1, true, message, function)
/* Messages with another quality of service than 1. */
#define MIQRO_HANDLE_QOS(filter, qos, function) MIQRO__ENTRY(MIQRO__HANDLE, filter, 0, qos, false, message, function)
/* Now and in each period: bool function(void). The timer has the name of the function. */
#define MIQRO_EVERY(milliseconds, function) MIQRO__ENTRY(MIQRO__EVERY, #function, milliseconds, 0, false, plain, function)
/* When a timer of this name is due, `+` matching one level: bool function(const char *name). */
#define MIQRO_TIMER(name, function) MIQRO__ENTRY(MIQRO__TIMER, name, 0, 0, false, text, function)
/* When the service starts, after the subscriptions, and when it stops: bool function(void). */
#define MIQRO_START(function) MIQRO__ENTRY(MIQRO__START, NULL, 0, 0, false, plain, function)
#define MIQRO_STOP(function) MIQRO__ENTRY(MIQRO__STOP, NULL, 0, 0, false, plain, function)
/* Connections: bool function(bool session_present), bool function(void). */
#define MIQRO_ON_CONNECTED(function) MIQRO__ENTRY(MIQRO__CONNECTED, NULL, 0, 0, false, flag, function)
#define MIQRO_ON_DISCONNECTED(function) MIQRO__ENTRY(MIQRO__DISCONNECTED, NULL, 0, 0, false, plain, function)
/* Outcomes of messages with QoS 1 or 2: bool function(uint64_t token, miqro_outcome, miqro_bytes reason). */
#define MIQRO_ON_DELIVERED(function) MIQRO__ENTRY(MIQRO__DELIVERED, NULL, 0, 0, false, outcome, function)
/* The section has changed; false refuses the change: bool function(void). */
#define MIQRO_ON_CONFIG_CHANGED(function) MIQRO__ENTRY(MIQRO__CONFIG_CHANGED, NULL, 0, 0, false, plain, function)
/* Another version takes over: miqro_bytes function(void), whose bytes stay valid; bool function(miqro_bytes). */
#define MIQRO_SAVE(function) MIQRO__ENTRY(MIQRO__SAVE, NULL, 0, 0, false, save, function)
#define MIQRO_LOAD(function) MIQRO__ENTRY(MIQRO__LOAD, NULL, 0, 0, false, load, function)
/* Messages that no handler takes: bool function(miqro_message). */
#define MIQRO_OTHER(function) MIQRO__ENTRY(MIQRO__OTHER, NULL, 0, 0, false, message, function)

/* The functions of the service, separated by commas. */
#define MIQRO_SERVICE(...) \
  static const miqro__entry miqro__list[] = {__VA_ARGS__}; \
  extern const miqro__entry *const miqro__entries; \
  const miqro__entry *const miqro__entries = miqro__list; \
  extern const size_t miqro__count; \
  const size_t miqro__count = sizeof miqro__list / sizeof *miqro__list;

extern const miqro__entry *const miqro__entries;
extern const size_t miqro__count;

/* --- filters ----------------------------------------------------------------------------------------------------------- */

/* Whether a filter matches a topic as MQTT says. `matches` gets a level for each + and the remainder for #, which point into
 * `copy`: room for the topic and its end. */
static inline bool miqro_matches(const char *filter, const char *topic, char *copy, const char **matches) {
  size_t found = 0;
  memset(matches, 0, MIQRO_MATCHES * sizeof *matches);
  if (!strncmp(filter, "$share/", 7)) {
    const char *rest = strchr(filter + 7, '/');
    if (rest) filter = rest + 1;
  }
  if (topic[0] == '$' && (filter[0] == '+' || filter[0] == '#')) return false;
  strcpy(copy, topic);
  for (;;) {
    size_t wanted = strcspn(filter, "/");
    if (wanted == 1 && *filter == '#') {
      if (found < MIQRO_MATCHES) matches[found] = copy ? copy : "";
      return true;
    }
    if (!copy) return false;
    size_t level = strcspn(copy, "/");
    bool more = copy[level] == '/';
    copy[level] = 0;
    if (wanted == 1 && *filter == '+') {
      if (found < MIQRO_MATCHES) matches[found++] = copy;
    } else if (wanted != level || strncmp(filter, copy, level)) {
      return false;
    }
    filter += wanted;
    copy = more ? copy + level + 1 : NULL;
    if (!*filter) return !copy;
    filter++;
  }
}

#ifdef __wasm__

/* --- the contract, as the canonical ABI lays it out -------------------------------------------------------------------- */

#define MIQRO__IMPORT(interface, name) __attribute__((import_module("miqro:service/" interface "@0.1.0"), import_name(name)))
#define MIQRO__EXPORT(name) __attribute__((export_name(name)))

typedef struct { bool some; miqro_bytes value; } miqro__optional_bytes;
typedef struct {
  miqro__optional_bytes response_topic, correlation_data, content_type;
  struct { bool some; uint32_t value; } message_expiry;
  bool utf8;
  const miqro_pair *user_properties;
  size_t user_properties_count;
} miqro__properties;
typedef struct { bool some; miqro__properties value; } miqro__optional_properties;
typedef struct { uint8_t tag; miqro_bytes text; } miqro__variant;
typedef struct { bool is_error; miqro__variant error; } miqro__result;

MIQRO__IMPORT("messaging", "publish") void miqro__publish(const void *arguments, void *result);
MIQRO__IMPORT("messaging", "request") void miqro__request(const void *arguments, void *result);
MIQRO__IMPORT("messaging", "subscribe") void miqro__subscribe(const char *filter, size_t length, int some, int qos, int global, void *result);
MIQRO__IMPORT("messaging", "unsubscribe") void miqro__unsubscribe(const char *filter, size_t length, int global, void *result);
MIQRO__IMPORT("messaging", "current-message") void miqro__current_message(void *result);
MIQRO__IMPORT("timers", "every") void miqro__every(const char *name, size_t length, uint64_t period, uint64_t delay, void *result);
MIQRO__IMPORT("timers", "after") void miqro__after(const char *name, size_t length, uint64_t delay, void *result);
MIQRO__IMPORT("timers", "cancel") void miqro__cancel(const char *name, size_t length);
MIQRO__IMPORT("timers", "remaining") void miqro__remaining(const char *name, size_t length, void *result);
MIQRO__IMPORT("timers", "due") void miqro__due(void *result);
MIQRO__IMPORT("config", "get") void miqro__config(void *result);
MIQRO__IMPORT("config", "me") void miqro__me(void *result);
MIQRO__IMPORT("state", "get") void miqro__state_get(const char *key, size_t length, void *result);
MIQRO__IMPORT("state", "set") void miqro__state_set(const char *key, size_t length, const void *value, size_t size, void *result);
MIQRO__IMPORT("state", "delete") void miqro__state_delete(const char *key, size_t length, void *result);
MIQRO__IMPORT("state", "keys") void miqro__state_keys(const char *prefix, size_t length, void *result);
MIQRO__IMPORT("log", "log") void miqro__log(int level, const char *message, size_t length, const miqro_pair *fields, size_t count);

static struct { uint8_t is_error; char *text; size_t length; } miqro__done;

/* Says why the call fails: return what it returns. */
__attribute__((format(printf, 1, 2))) static inline bool miqro_fail(const char *format, ...) {
  va_list list;
  char *text = NULL;
  va_start(list, format);
  int length = vasprintf(&text, format, list);
  va_end(list);
  free(miqro__done.text);
  miqro__done.text = length < 0 ? NULL : text;
  miqro__done.length = length < 0 ? 0 : (size_t)length;
  return false;
}

/* The reason of the last failure in this call. */
static inline const char *miqro_error(void) { return miqro__done.text ? miqro__done.text : ""; }

static inline bool miqro__refuse(miqro__variant error) {
  miqro_fail("%.*s", (int)error.text.length, (const char *)error.text.data);
  free((void *)error.text.data);
  return false;
}

static inline miqro__optional_properties miqro__lower(const miqro_properties *given) {
  miqro__optional_properties lowered;
  memset(&lowered, 0, sizeof lowered);
  if (!given) return lowered;
  lowered.some = true;
  lowered.value.response_topic.some = given->response_topic.data != NULL;
  lowered.value.response_topic.value = given->response_topic;
  lowered.value.correlation_data.some = given->correlation_data.data != NULL;
  lowered.value.correlation_data.value = given->correlation_data;
  lowered.value.content_type.some = given->content_type.data != NULL;
  lowered.value.content_type.value = given->content_type;
  lowered.value.message_expiry.some = given->message_expiry != 0;
  lowered.value.message_expiry.value = given->message_expiry;
  lowered.value.utf8 = given->utf8;
  lowered.value.user_properties = given->user_properties;
  lowered.value.user_properties_count = given->user_properties_count;
  return lowered;
}

static inline void miqro__free_properties(const miqro__optional_properties *properties) {
  if (!properties->some) return;
  if (properties->value.response_topic.some) free((void *)properties->value.response_topic.value.data);
  if (properties->value.correlation_data.some) free((void *)properties->value.correlation_data.value.data);
  if (properties->value.content_type.some) free((void *)properties->value.content_type.value.data);
  for (size_t i = 0; i < properties->value.user_properties_count; i++) {
    free((void *)properties->value.user_properties[i].name.data);
    free((void *)properties->value.user_properties[i].value.data);
  }
  if (properties->value.user_properties_count) free((void *)properties->value.user_properties);
}

/* Publishes when the call succeeds. `options` may be NULL. With QoS 1 and 2 `token`, if not NULL, names the message later. */
static inline bool miqro_publish_with(const char *topic, const void *payload, size_t length, const miqro_options *options, uint64_t *token) {
  struct {
    miqro_bytes topic, payload;
    bool some;
    struct {
      uint8_t qos;
      bool retain, global;
      struct { bool some; struct { uint8_t tag; uint64_t within; } value; } only_if_changed;
      miqro__optional_properties properties;
    } options;
  } arguments;
  struct {
    bool is_error;
    union { struct { bool some; uint64_t token; } ok; miqro__variant error; } value;
  } result;

  memset(&arguments, 0, sizeof arguments);
  arguments.topic.data = topic;
  arguments.topic.length = strlen(topic);
  arguments.payload.data = payload;
  arguments.payload.length = length;
  if (options) {
    arguments.some = true;
    arguments.options.qos = options->qos;
    arguments.options.retain = options->retain;
    arguments.options.global = options->global;
    arguments.options.only_if_changed.some = options->only_if_changed;
    arguments.options.only_if_changed.value.tag = options->changed_within != 0;
    arguments.options.only_if_changed.value.within = options->changed_within;
    arguments.options.properties = miqro__lower(options->properties);
  }
  miqro__publish(&arguments, &result);
  if (result.is_error) return miqro__refuse(result.value.error);
  if (token) *token = result.value.ok.some ? result.value.ok.token : 0;
  return true;
}

/* Publishes bytes below the base topic with QoS 0. */
static inline bool miqro_publish(const char *topic, const void *payload, size_t length) {
  return miqro_publish_with(topic, payload, length, NULL, NULL);
}

/* Publishes text below the base topic with QoS 0, as printf writes it. */
__attribute__((format(printf, 2, 3))) static inline bool miqro_publishf(const char *topic, const char *format, ...) {
  va_list list;
  char *text = NULL;
  va_start(list, format);
  int length = vasprintf(&text, format, list);
  va_end(list);
  if (length < 0) return miqro_fail("out of memory");
  bool done = miqro_publish(topic, text, (size_t)length);
  free(text);
  return done;
}

/* Publishes a request and waits up to `deadline` milliseconds for its answer, whose payload is put into `answer`: free its data.
 * It is sent at once, and stays sent when the call fails later. */
static inline bool miqro_request(const char *topic, bool global, const void *payload, size_t length, uint64_t deadline, miqro_bytes *answer) {
  struct {
    miqro_bytes topic, payload;
    bool some;
    struct { bool global; uint64_t deadline; miqro__optional_properties properties; } options;
  } arguments;
  struct {
    bool is_error;
    union {
      struct { miqro_bytes payload; miqro__optional_properties properties; } ok;
      struct { uint8_t tag; union { miqro__variant refused; miqro_bytes unavailable; } value; } error;
    } value;
  } result;

  memset(&arguments, 0, sizeof arguments);
  arguments.topic.data = topic;
  arguments.topic.length = strlen(topic);
  arguments.payload.data = payload;
  arguments.payload.length = length;
  arguments.some = true;
  arguments.options.global = global;
  arguments.options.deadline = deadline;
  miqro__request(&arguments, &result);
  if (!result.is_error) {
    miqro__free_properties(&result.value.ok.properties);
    *answer = result.value.ok.payload;
    return true;
  }
  if (result.value.error.tag == 0) return miqro__refuse(result.value.error.value.refused);
  if (result.value.error.tag == 2) return miqro_fail("no answer came in time");
  miqro__variant unavailable = {0, result.value.error.value.unavailable};
  return miqro__refuse(unavailable);
}

/* Subscribes when the call succeeds. */
static inline bool miqro_subscribe(const char *filter, uint8_t qos, bool global) {
  miqro__result result;
  miqro__subscribe(filter, strlen(filter), 1, qos, global, &result);
  return result.is_error ? miqro__refuse(result.error) : true;
}
static inline bool miqro_unsubscribe(const char *filter, bool global) {
  miqro__result result;
  miqro__unsubscribe(filter, strlen(filter), global, &result);
  return result.is_error ? miqro__refuse(result.error) : true;
}

/* Facts about the message being handled; false outside of a handler. */
static inline bool miqro_current_message(miqro_info *info) {
  static struct {
    bool some;
    struct {
      miqro_bytes topic;
      bool relative;
      uint8_t qos;
      bool retain, dup;
      uint32_t attempt;
      miqro__optional_properties properties;
    } value;
  } found;
  if (found.some) {
    free((void *)found.value.topic.data);
    miqro__free_properties(&found.value.properties);
  }
  miqro__current_message(&found);
  memset(info, 0, sizeof *info);
  if (!found.some) return false;
  info->topic = found.value.topic;
  info->relative = found.value.relative;
  info->qos = found.value.qos;
  info->retain = found.value.retain;
  info->dup = found.value.dup;
  info->attempt = found.value.attempt;
  info->has_properties = found.value.properties.some;
  if (info->has_properties) {
    const miqro__properties *given = &found.value.properties.value;
    if (given->response_topic.some) info->properties.response_topic = given->response_topic.value;
    if (given->correlation_data.some) info->properties.correlation_data = given->correlation_data.value;
    if (given->content_type.some) info->properties.content_type = given->content_type.value;
    if (given->message_expiry.some) info->properties.message_expiry = given->message_expiry.value;
    info->properties.utf8 = given->utf8;
    info->properties.user_properties = given->user_properties;
    info->properties.user_properties_count = given->user_properties_count;
  }
  return true;
}

/* Timers by name, in milliseconds; MIQRO_TIMER names the functions for them. */
static inline bool miqro_every(const char *name, uint64_t period, uint64_t delay) {
  miqro__result result;
  miqro__every(name, strlen(name), period, delay, &result);
  return result.is_error ? miqro__refuse(result.error) : true;
}
static inline bool miqro_after(const char *name, uint64_t delay) {
  miqro__result result;
  miqro__after(name, strlen(name), delay, &result);
  return result.is_error ? miqro__refuse(result.error) : true;
}
static inline void miqro_cancel(const char *name) { miqro__cancel(name, strlen(name)); }
/* The time until a timer is due; false: there is none. */
static inline bool miqro_remaining(const char *name, uint64_t *milliseconds) {
  struct { bool some; uint64_t value; } result;
  miqro__remaining(name, strlen(name), &result);
  if (result.some) *milliseconds = result.value;
  return result.some;
}

/* The value of a key in the state, which outlives the service; `value->data` is NULL when there is none: free it. */
static inline bool miqro_state_get(const char *key, miqro_bytes *value) {
  struct { bool is_error; union { struct { bool some; miqro_bytes value; } ok; miqro__variant error; } value; } result;
  miqro__state_get(key, strlen(key), &result);
  value->data = NULL;
  value->length = 0;
  if (result.is_error) return miqro__refuse(result.value.error);
  if (result.value.ok.some) {
    *value = result.value.ok.value;
    if (!value->length) value->data = calloc(1, 1);
  }
  return true;
}
static inline bool miqro_state_set(const char *key, const void *value, size_t length) {
  miqro__result result;
  miqro__state_set(key, strlen(key), value, length, &result);
  return result.is_error ? miqro__refuse(result.error) : true;
}
static inline bool miqro_state_delete(const char *key) {
  miqro__result result;
  miqro__state_delete(key, strlen(key), &result);
  return result.is_error ? miqro__refuse(result.error) : true;
}
/* The keys that begin with `prefix`: free each key's data, and the list. */
static inline bool miqro_state_keys(const char *prefix, miqro_bytes **keys, size_t *count) {
  struct { bool is_error; union { struct { miqro_bytes *data; size_t length; } ok; miqro__variant error; } value; } result;
  miqro__state_keys(prefix, strlen(prefix), &result);
  *keys = NULL;
  *count = 0;
  if (result.is_error) return miqro__refuse(result.value.error);
  *count = result.value.ok.length;
  if (*count) *keys = result.value.ok.data;
  return true;
}

/* A copy with 0 at its end, which is freed by the caller. */
static inline char *miqro__text(miqro_bytes bytes) {
  char *text = strndup(bytes.length ? (const char *)bytes.data : "", bytes.length);
  if (bytes.length) free((void *)bytes.data);
  return text;
}
/* The section of the service in miqro.yml as a JSON object, without the keys that are for the host: free it. */
static inline char *miqro_config(void) {
  miqro_bytes text;
  miqro__config(&text);
  return miqro__text(text);
}
/* The name of the service, its base topic, and the topic prefix of Home Assistant: free each. */
static inline void miqro_me(char **name, char **base_topic, char **discovery_prefix) {
  struct { miqro_bytes name, base_topic, discovery_prefix; } result;
  miqro__me(&result);
  *name = miqro__text(result.name);
  *base_topic = miqro__text(result.base_topic);
  *discovery_prefix = miqro__text(result.discovery_prefix);
}

/* Writes a log line, as printf writes it. It is written at once, even if the call fails later. */
__attribute__((format(printf, 2, 3))) static inline void miqro_log(miqro_level level, const char *format, ...) {
  va_list list;
  char *text = NULL;
  va_start(list, format);
  int length = vasprintf(&text, format, list);
  va_end(list);
  if (length < 0) return;
  miqro__log(level, text, (size_t)length, NULL, 0);
  free(text);
}
/* Writes a log line with fields, which are shown as name=value. */
static inline void miqro_log_with(miqro_level level, const char *message, const miqro_pair *fields, size_t count) {
  miqro__log(level, message, strlen(message), fields, count);
}

/* --- the exports ------------------------------------------------------------------------------------------------------- */

MIQRO__EXPORT("cabi_realloc") void *miqro__realloc(void *old, size_t old_size, size_t align, size_t size) {
  (void)old_size;
  if (!size) return (void *)align;
  void *memory = realloc(old, size);
  if (!memory) abort();
  return memory;
}

static inline void *miqro__end(bool done) {
  fflush(NULL);
  if (!done && !miqro__done.text) miqro_fail("failed");
  miqro__done.is_error = !done;
  return &miqro__done;
}

static inline void miqro__begin(void) {
  free(miqro__done.text);
  miqro__done.text = NULL;
  miqro__done.length = 0;
}

#define MIQRO__EACH(entry, wanted) \
  for (const miqro__entry *entry = miqro__entries; entry < miqro__entries + miqro__count; entry++) \
    if (entry->kind == wanted)

static inline bool miqro__plain(miqro__kind kind) {
  MIQRO__EACH(entry, kind) if (!entry->run.plain()) return false;
  return true;
}

MIQRO__EXPORT("start") void *miqro__start(void) {
  miqro__begin();
  MIQRO__EACH(entry, MIQRO__HANDLE) if (!miqro_subscribe(entry->name, entry->qos, entry->global)) return miqro__end(false);
  MIQRO__EACH(entry, MIQRO__EVERY) if (!miqro_every(entry->name, entry->period, 0)) return miqro__end(false);
  return miqro__end(miqro__plain(MIQRO__START));
}

MIQRO__EXPORT("stop") void *miqro__stop(void) {
  miqro__begin();
  return miqro__end(miqro__plain(MIQRO__STOP));
}

static inline bool miqro__is_global(void) {
  miqro_info info;
  MIQRO__EACH(entry, MIQRO__HANDLE) if (entry->global) return miqro_current_message(&info) && !info.relative;
  return false;
}

MIQRO__EXPORT("handle") void *miqro__handle(char *topic, size_t topic_length, void *payload, size_t length) {
  miqro__begin();
  char *name = strndup(topic_length ? topic : "", topic_length);
  char *copy = (char *)malloc(topic_length + 1);
  miqro_message message = {name, length ? payload : "", length, {NULL}};
  bool is_global = miqro__is_global(), handled = false, done = true;
  MIQRO__EACH(entry, MIQRO__HANDLE)
    if (done && entry->global == is_global && miqro_matches(entry->name, name, copy, message.matches)) {
      handled = true;
      done = entry->run.message(message);
    }
  memset(message.matches, 0, sizeof message.matches);
  MIQRO__EACH(entry, MIQRO__OTHER) if (!handled && done) done = entry->run.message(message);
  free(copy);
  free(name);
  if (topic_length) free(topic);
  if (length) free(payload);
  return miqro__end(done);
}

static inline bool miqro__due_timer(const char *name, char *copy) {
  const char *matches[MIQRO_MATCHES];
  MIQRO__EACH(entry, MIQRO__EVERY) if (!strcmp(entry->name, name)) return entry->run.plain();
  MIQRO__EACH(entry, MIQRO__TIMER) if (miqro_matches(entry->name, name, copy, matches)) return entry->run.text(name);
  return true;
}

MIQRO__EXPORT("tick") void *miqro__tick(void) {
  miqro__begin();
  struct { struct { miqro_bytes name; uint64_t count; } *data; size_t length; } due;
  bool done = true;
  miqro__due(&due);
  for (size_t i = 0; i < due.length; i++) {
    size_t length = due.data[i].name.length;
    char *name = miqro__text(due.data[i].name);
    char *copy = (char *)malloc(length + 1);
    done = done && miqro__due_timer(name, copy);
    free(copy);
    free(name);
  }
  if (due.length) free(due.data);
  return miqro__end(done);
}

MIQRO__EXPORT("connected") void *miqro__connected(int session_present) {
  miqro__begin();
  MIQRO__EACH(entry, MIQRO__CONNECTED) if (!entry->run.flag(session_present != 0)) return miqro__end(false);
  return miqro__end(true);
}

MIQRO__EXPORT("disconnected") void *miqro__disconnected(void) {
  miqro__begin();
  return miqro__end(miqro__plain(MIQRO__DISCONNECTED));
}

MIQRO__EXPORT("delivered") void *miqro__delivered(uint64_t token, int outcome, const char *reason, size_t length) {
  miqro__begin();
  miqro_bytes text = {outcome == MIQRO_REFUSED ? reason : "", outcome == MIQRO_REFUSED ? length : 0};
  bool done = true;
  MIQRO__EACH(entry, MIQRO__DELIVERED) done = done && entry->run.outcome(token, (miqro_outcome)outcome, text);
  if (text.length) free((void *)text.data);
  return miqro__end(done);
}

MIQRO__EXPORT("config-changed") void *miqro__config_changed(void) {
  miqro__begin();
  return miqro__end(miqro__plain(MIQRO__CONFIG_CHANGED));
}

MIQRO__EXPORT("save") void *miqro__save(void) {
  static miqro_bytes saved;
  miqro__begin();
  saved.data = "";
  saved.length = 0;
  MIQRO__EACH(entry, MIQRO__SAVE) saved = entry->run.save();
  return &saved;
}

MIQRO__EXPORT("load") void *miqro__load(void *state, size_t length) {
  miqro__begin();
  miqro_bytes saved = {length ? state : "", length};
  bool done = true;
  MIQRO__EACH(entry, MIQRO__LOAD) done = done && entry->run.load(saved);
  if (length) free(state);
  return miqro__end(done);
}

#endif /* __wasm__ */

#ifdef __cplusplus
}
#endif

#endif /* MIQRO_H */
