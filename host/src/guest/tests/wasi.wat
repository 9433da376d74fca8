;; A guest that looks for what WASI may give: `handle` returns an error with one character (from "0" on) for each of: how many
;; environment variables, arguments and directories there are, and what looking up a name came to (1 and the number of the
;; error).
(component
  (import "wasi:cli/environment@0.2.0" (instance $environment
    (export "get-environment" (func (result (list (tuple string string)))))
    (export "get-arguments" (func (result (list string))))))
  (import "wasi:filesystem/types@0.2.0" (instance $files (export "descriptor" (type (sub resource)))))
  (alias export $files "descriptor" (type $descriptor))
  (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
    (alias outer 1 $descriptor (type $descriptor'))
    (export "descriptor" (type $descriptor (eq $descriptor')))
    (export "get-directories" (func (result (list (tuple (own $descriptor) string)))))))
  (import "wasi:sockets/network@0.2.0" (instance $network
    (export "network" (type (sub resource)))
    (type $error' (enum
      "unknown" "access-denied" "not-supported" "invalid-argument" "out-of-memory" "timeout" "concurrency-conflict"
      "not-in-progress" "would-block" "invalid-state" "new-socket-limit" "address-not-bindable" "address-in-use"
      "remote-unreachable" "connection-refused" "connection-reset" "connection-aborted" "datagram-too-large"
      "name-unresolvable" "temporary-resolver-failure" "permanent-resolver-failure"))
    (export "error-code" (type $error (eq $error')))))
  (alias export $network "network" (type $net))
  (alias export $network "error-code" (type $error))
  (import "wasi:sockets/instance-network@0.2.0" (instance $instance-network
    (alias outer 1 $net (type $net'))
    (export "network" (type $net (eq $net')))
    (export "instance-network" (func (result (own $net))))))
  (import "wasi:sockets/ip-name-lookup@0.2.0" (instance $lookup
    (alias outer 1 $net (type $net'))
    (export "network" (type $net (eq $net')))
    (alias outer 1 $error (type $error'))
    (export "error-code" (type $error (eq $error')))
    (export "resolve-address-stream" (type $stream (sub resource)))
    (export "resolve-addresses" (func (param "network" (borrow $net)) (param "name" string)
      (result (result (own $stream) (error $error)))))))

  (core module $libc
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))
  (core func $env (canon lower (func $environment "get-environment") (memory $memory) (realloc $realloc)))
  (core func $args (canon lower (func $environment "get-arguments") (memory $memory) (realloc $realloc)))
  (core func $dirs (canon lower (func $preopens "get-directories") (memory $memory) (realloc $realloc)))
  (core func $net (canon lower (func $instance-network "instance-network")))
  (core func $resolve (canon lower (func $lookup "resolve-addresses") (memory $memory) (realloc $realloc)))

  (core module $main
    (import "libc" "memory" (memory 1))
    (import "wasi" "env" (func $env (param i32)))
    (import "wasi" "args" (func $args (param i32)))
    (import "wasi" "dirs" (func $dirs (param i32)))
    (import "wasi" "net" (func $net (result i32)))
    (import "wasi" "resolve" (func $resolve (param i32 i32 i32 i32)))
    (data (i32.const 1024) "localhost")
    (func $digit (param i32 i32) (i32.store8 (local.get 0) (i32.add (local.get 1) (i32.const 48))))
    (func (export "handle") (param i32 i32 i32 i32) (result i32)
      (call $env (i32.const 256)) (call $digit (i32.const 600) (i32.load (i32.const 260)))
      (call $args (i32.const 256)) (call $digit (i32.const 601) (i32.load (i32.const 260)))
      (call $dirs (i32.const 256)) (call $digit (i32.const 602) (i32.load (i32.const 260)))
      (call $resolve (call $net) (i32.const 1024) (i32.const 9) (i32.const 256))
      ;; an error, and which
      (call $digit (i32.const 603) (i32.load8_u (i32.const 256)))
      (call $digit (i32.const 604) (i32.load8_u (i32.const 260)))
      (i32.store (i32.const 512) (i32.const 1))
      (i32.store (i32.const 516) (i32.const 600))
      (i32.store (i32.const 520) (i32.const 5))
      (i32.const 512))
    (func (export "tick") (result i32) unreachable))
  (core instance $main (instantiate $main
    (with "libc" (instance $libc))
    (with "wasi" (instance
      (export "env" (func $env)) (export "args" (func $args)) (export "dirs" (func $dirs)) (export "net" (func $net))
      (export "resolve" (func $resolve))))))
  (func (export "handle") (param "topic" string) (param "payload" (list u8)) (result (result (error string)))
    (canon lift (core func $main "handle") (memory $memory) (realloc $realloc)))
  (func (export "tick") (result (result (error string))) (canon lift (core func $main "tick") (memory $memory))))
