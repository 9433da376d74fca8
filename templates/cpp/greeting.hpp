#pragma once

#include <string>

/// The greeting that is published. The text is what JSON has between its quotes.
inline std::string greeting(const std::string &text, long count) {
  return "{\"text\": \"" + text + "\", \"count\": " + std::to_string(count) + "}";
}

/// The text of a member of a JSON object, or `otherwise`.
inline std::string text_member(const std::string &object, const std::string &name, const std::string &otherwise) {
  std::string key = "\"" + name + "\":\"";
  auto begin = object.find(key);
  if (begin == std::string::npos) return otherwise;
  begin += key.size();
  auto end = begin;
  while (end < object.size() && object[end] != '"') end += object[end] == '\\' ? 2 : 1;
  return object.substr(begin, end - begin);
}
