/* Calls each function of the SDK by its name in the contract. */
#include "miqro.h"

static bool done(const char *text) { return miqro_publish("done", text, strlen(text)); }

/* Publishes bytes that the SDK has returned. */
static bool done_bytes(miqro_bytes bytes) {
  bool done = miqro_publish("done", bytes.data, bytes.length);
  free((void *)bytes.data);
  return done;
}

static bool publish_all(const char *text) {
  miqro_options options = {.qos = 2, .retain = true};
  return miqro_publish_with("done", text, strlen(text), &options, NULL);
}

static bool keys(const char *prefix) {
  miqro_bytes *found;
  size_t count;
  if (!miqro_state_keys(prefix, &found, &count)) return false;
  if (count != 1) return miqro_fail("expected one key, found %zu", count);
  bool done = done_bytes(found[0]);
  free(found);
  return done;
}

static bool me(void) {
  char *name, *base, *prefix;
  miqro_me(&name, &base, &prefix);
  bool published = done(name);
  free(name);
  free(base);
  free(prefix);
  return published;
}

static bool section(void) {
  char *text = miqro_config();
  bool published = done(text);
  free(text);
  return published;
}

static bool of_state(const char *name, const char *text) {
  miqro_bytes bytes;
  if (!strcmp(name, "state.get")) return miqro_state_get("key", &bytes) && done_bytes(bytes);
  if (!strcmp(name, "state.set")) return miqro_state_set("key", text, strlen(text));
  if (!strcmp(name, "state.delete")) return miqro_state_delete("key");
  if (!strcmp(name, "state.keys")) return keys(text);
  return miqro_fail("unknown: %s", name);
}

static bool of_timers(const char *name, const char *text) {
  uint64_t left;
  if (!strcmp(name, "timers.every")) return miqro_every(text, 1000, 0);
  if (!strcmp(name, "timers.after")) return miqro_after(text, 2000);
  if (!strcmp(name, "timers.remaining")) return done(miqro_remaining(text, &left) ? "1" : "0");
  if (strcmp(name, "timers.cancel")) return miqro_fail("unknown: %s", name);
  miqro_cancel(text);
  return true;
}

static bool of_messaging(const char *name, const char *text) {
  miqro_bytes answer;
  miqro_info info;
  if (!strcmp(name, "messaging.publish")) return publish_all(text);
  if (!strcmp(name, "messaging.request")) return miqro_request("ask", false, text, strlen(text), 1000, &answer) && done_bytes(answer);
  if (!strcmp(name, "messaging.subscribe")) return miqro_subscribe(text, 1, false);
  if (!strcmp(name, "messaging.unsubscribe")) return miqro_unsubscribe(text, false);
  if (strcmp(name, "messaging.current-message")) return miqro_fail("unknown: %s", name);
  return miqro_current_message(&info) && miqro_publish("done", info.topic.data, info.topic.length);
}

static bool call(miqro_message message) {
  const char *name = message.matches[0];
  char text[100];
  snprintf(text, sizeof text, "%.*s", (int)message.length, (const char *)message.payload);
  if (!strncmp(name, "messaging.", 10)) return of_messaging(name, text);
  if (!strncmp(name, "timers.", 7)) return of_timers(name, text);
  if (!strcmp(name, "config.get")) return section();
  if (!strcmp(name, "config.me")) return me();
  if (strcmp(name, "log.log")) return of_state(name, text);
  miqro_log(MIQRO_INFO, "%s", text);
  return true;
}

static bool other(miqro_message message) { return done(message.topic); }
static bool start(void) { return done("start"); }
static bool stop(void) { return done("stop"); }
static bool connected(bool session_present) {
  (void)session_present;
  return done("connected");
}
static bool disconnected(void) { return done("disconnected"); }
static bool delivered(uint64_t token, miqro_outcome outcome, miqro_bytes reason) {
  miqro_log(MIQRO_DEBUG, "%llu: %d, %zu", (unsigned long long)token, outcome, reason.length);
  return true;
}
static bool config_changed(void) { return true; }
static miqro_bytes save(void) { return (miqro_bytes){"kept", 4}; }
static bool load(miqro_bytes saved) { return miqro_publish("done", saved.data, saved.length); }

MIQRO_SERVICE(MIQRO_HANDLE("call/+", call), MIQRO_OTHER(other), MIQRO_TIMER("+", done), MIQRO_START(start), MIQRO_STOP(stop),
              MIQRO_ON_CONNECTED(connected), MIQRO_ON_DISCONNECTED(disconnected), MIQRO_ON_DELIVERED(delivered),
              MIQRO_ON_CONFIG_CHANGED(config_changed), MIQRO_SAVE(save), MIQRO_LOAD(load))
