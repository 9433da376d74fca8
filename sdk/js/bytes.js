// Text and bytes. QuickJS has no TextEncoder.

/** UTF-8. A lone surrogate becomes U+FFFD. */
export function encodeText(text) {
  const bytes = new Uint8Array(text.length * 3);
  let length = 0;
  for (const character of text) {
    let code = character.codePointAt(0);
    if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd;
    if (code < 0x80) {
      bytes[length++] = code;
    } else if (code < 0x800) {
      bytes[length++] = 0xc0 | (code >> 6);
      bytes[length++] = 0x80 | (code & 0x3f);
    } else if (code < 0x10000) {
      bytes[length++] = 0xe0 | (code >> 12);
      bytes[length++] = 0x80 | ((code >> 6) & 0x3f);
      bytes[length++] = 0x80 | (code & 0x3f);
    } else {
      bytes[length++] = 0xf0 | (code >> 18);
      bytes[length++] = 0x80 | ((code >> 12) & 0x3f);
      bytes[length++] = 0x80 | ((code >> 6) & 0x3f);
      bytes[length++] = 0x80 | (code & 0x3f);
    }
  }
  return bytes.slice(0, length);
}

/** The smallest code point of a sequence of so many bytes, to refuse longer forms than needed. */
const SMALLEST = [0, 0, 0x80, 0x800, 0x10000];

/** The text of UTF-8; throws a TypeError for other bytes. */
export function decodeText(bytes) {
  const parts = [];
  let codes = [];
  for (let place = 0; place < bytes.length; ) {
    const first = bytes[place];
    const size = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
    let code = size === 1 ? first : first & (0x7f >> size);
    let valid = size > 0 && place + size <= bytes.length;
    for (let next = 1; valid && next < size; next++) {
      valid = (bytes[place + next] & 0xc0) === 0x80;
      code = (code << 6) | (bytes[place + next] & 0x3f);
    }
    if (!valid || code < SMALLEST[size] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
      throw new TypeError('expected text, found bytes that are not UTF-8');
    }
    codes.push(code);
    place += size;
    if (codes.length === 4096) {
      parts.push(String.fromCodePoint(...codes));
      codes = [];
    }
  }
  return parts.join('') + String.fromCodePoint(...codes);
}
