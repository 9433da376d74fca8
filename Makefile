# MIQRO host. `make help` lists what there is; `make run` is all that a newcomer needs.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run build dist guests check docs test test-home-assistant test-languages bench-languages pictures chaos fuzz bench deb image app test-packages test-arm64 test-armhf setup-docs setup-guests setup-home-assistant setup-languages setup-tests

# Always --workspace: another choice of packages has other features, and compiles wasmtime a second time.
# Where cargo builds: CARGO_TARGET_DIR where it is set, and below it the guests, which are a workspace of their own.
HOST := $(or $(CARGO_TARGET_DIR),target)/release/miqro-host
GUESTS_TARGET := $(if $(CARGO_TARGET_DIR),$(abspath $(CARGO_TARGET_DIR))/guests,$(CURDIR)/guests/target)
GUEST_CARGO := cd guests && CARGO_TARGET_DIR='$(GUESTS_TARGET)' cargo

# For packages: the processor, and its tools where it is another one than this machine's.
NATIVE := $(shell dpkg --print-architecture 2>/dev/null)
ARCH := $(NATIVE)
CROSS = $(filter-out $(NATIVE),$(ARCH))

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-17s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: build guests ## Runs the echo guest on the embedded broker; builds what is missing
	$(HOST) run guests/echo.wasm

build: ## Builds the host: target/release/miqro-host
	cargo build --release --locked --workspace --bin miqro-host

dist: ## Builds the host as packages have it, a third faster: target/dist/miqro-host
	cargo build --profile dist --locked --workspace --bin miqro-host

guests: setup-guests ## Builds the guests: guests/<name>.wasm
	CARGO_TARGET_DIR='$(GUESTS_TARGET)' scripts/build-guests

check: setup-docs setup-guests ## Checks format, lints, prose, documentation and layers
	scripts/prose
	scripts/docs
	cargo fmt --all --check
	$(GUEST_CARGO) fmt --all --check
	cargo clippy --release --locked --workspace --all-targets -- -D warnings
	$(GUEST_CARGO) clippy --release --locked --target wasm32-wasip2 -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --release --locked --workspace --no-deps --quiet
	cargo test --release --locked --workspace --test system layout::

docs: setup-docs ## Checks the links of the documents and builds them: target/book/html
	scripts/docs

test: setup-tests build guests ## Installs what the tests need and runs every test
	scripts/test
	$(GUEST_CARGO) test --locked --package adapter --package alarm --package sensor --package sms

test-languages: setup-languages build ## Makes, builds, runs and swaps services in every language with their own tools, some minutes
	RUST_LIB_BACKTRACE=0 cargo test --release --locked --workspace --test system languages:: -- --ignored --test-threads 2 --skip comparison::

test-home-assistant: setup-tests setup-home-assistant build guests ## Runs the host with the real Home Assistant, a minute and more
	RUST_LIB_BACKTRACE=0 cargo test --release --locked --workspace --test system home_assistant::real:: -- --ignored

bench-languages: setup-languages build ## Measures services in every language beside Rust's, and prints the table of docs/languages.md
	RUST_LIB_BACKTRACE=0 cargo test --release --locked --workspace --test system languages::comparison:: -- --ignored --nocapture

pictures: setup-tests build guests ## Takes the pictures of the web page again that the documents show
	RUST_LIB_BACKTRACE=0 cargo test --release --locked --workspace --test system page::
	mkdir -p docs/images
	cd '$(dir $(HOST))pictures' && cp overview.png '$(CURDIR)/docs/images/'

chaos: setup-tests build guests ## Runs the long form of the chaos tests, some minutes; the short one is in `make test`
	MIQRO_CHAOS=long RUST_LIB_BACKTRACE=0 cargo test --release --locked --workspace --test system chaos:: -- --nocapture

fuzz: ## Fuzzes packets, configuration, topics and components, three minutes each (FUZZ_SECONDS), in a build of its own
	scripts/fuzz

bench: setup-tests build guests ## Measures, and prints one table; BENCH=--full takes longer, BENCH=--help lists the options
	cargo build --release --locked --workspace --bin miqro-bench
	$(dir $(HOST))miqro-bench $(BENCH)

deb: guests ## Makes a Debian package of the host as users run it; ARCH=arm64 or armhf cross-builds it
	scripts/setup-packaging deb $(CROSS)
	scripts/package-deb $(ARCH)

image: guests ## Makes a container image; ARCH=arm64 cross-builds it
	scripts/setup-packaging image $(CROSS)
	scripts/package-image $(ARCH)

app: guests ## Makes the folder of the Home Assistant app, for amd64 and arm64
	scripts/setup-packaging image arm64
	scripts/package-app

test-packages: guests ## Installs, upgrades and removes the Debian package in a fresh system, and runs the image; needs root
	scripts/setup-packaging deb image fresh-root
	scripts/test-deb "$$(scripts/package-deb | sed -n 1p)"
	scripts/test-image "$$(scripts/package-image)"

test-arm64: guests ## Cross-builds the host for 64-bit ARM and runs it in an emulator
	scripts/setup-packaging arm64
	scripts/test-emulated arm64

test-armhf: guests ## Cross-builds the host for 32-bit ARM (ARMv7) and runs it in an emulator
	scripts/setup-packaging armhf
	scripts/test-emulated armhf

setup-docs: ## Installs what builds the documents
	scripts/setup-docs

setup-guests: ## Gives the Rust toolchain what guests are built with
	scripts/setup-rust-targets

setup-tests: setup-guests ## Installs what the tests need
	scripts/setup-tests

setup-home-assistant: ## Installs Home Assistant, for test-home-assistant
	scripts/setup-home-assistant

setup-languages: setup-guests ## Installs the toolchains of the languages that services are written in
	scripts/setup-languages
