#include <cassert>

#include "greeting.hpp"

int main() {
  assert(greeting("hi", 3) == "{\"text\": \"hi\", \"count\": 3}");
  assert(text_member("{\"a\":1,\"greeting\":\"h\\\"i\"}", "greeting", "hello") == "h\\\"i");
  assert(text_member("{}", "greeting", "hello") == "hello");
}
