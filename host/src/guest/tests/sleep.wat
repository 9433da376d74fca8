;; A guest whose `handle` sleeps for an hour in the host.
(component
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $pollable'))
    (export "pollable" (type $pollable (eq $pollable')))
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core func $after (canon lower (func $clock "subscribe-duration")))
  (core module $main
    (import "wasi" "block" (func $block (param i32)))
    (import "wasi" "after" (func $after (param i64) (result i32)))
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
    (func (export "handle") (param i32 i32 i32 i32) (result i32)
      (call $block (call $after (i64.const 3600000000000)))
      (i32.const 512))
    (func (export "tick") (result i32) (i32.const 512)))
  (core instance $main (instantiate $main
    (with "wasi" (instance (export "block" (func $block)) (export "after" (func $after))))))
  (alias core export $main "memory" (core memory $memory))
  (alias core export $main "realloc" (core func $realloc))
  (func (export "handle") (param "topic" string) (param "payload" (list u8)) (result (result (error string)))
    (canon lift (core func $main "handle") (memory $memory) (realloc $realloc)))
  (func (export "tick") (result (result (error string))) (canon lift (core func $main "tick") (memory $memory))))
