// {{name}}: answers messages, and publishes a greeting every ten seconds.
#include <cstdlib>
#include <string>

#include "greeting.hpp"
#include "miqro.h"

namespace {

bool echo(miqro_message message) { return miqro_publish("echo_response", message.payload, message.length); }

std::string section() {
  char *text = miqro_config();
  std::string copy = text;
  std::free(text);
  return copy;
}

bool greet() {
  miqro_bytes value;
  if (!miqro_state_get("count", &value)) return false;
  std::string number(value.data ? static_cast<const char *>(value.data) : "0", value.data ? value.length : 1);
  std::free(const_cast<void *>(value.data));

  long count = std::strtol(number.c_str(), nullptr, 10) + 1;
  number = std::to_string(count);
  if (!miqro_state_set("count", number.data(), number.size())) return false;

  std::string message = greeting(text_member(section(), "greeting", "hello"), count);
  return miqro_publish("greeting", message.data(), message.size());
}

}  // namespace

MIQRO_SERVICE(MIQRO_HANDLE("echo", echo), MIQRO_EVERY(10000, greet))
