# SPDX-License-Identifier: Apache-2.0

GO ?= hack/go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
PREFIX ?= /usr/local
FUZZTIME ?= 30s
STEPS ?= 10000000
# Which kernels of test/vm/kernels, as a regular expression; all if empty.
KERNELS ?=

# sudo where root is needed and we are not: with root's own caches, but with our Go and settings.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo -E -H env "PATH=$(PATH)")

.DEFAULT_GOAL := build
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules

.PHONY: help
help: ## Show this text
	@echo "make TARGET   (TARGET is build unless said otherwise)"
	@awk -F ':.*## ' '/^[a-z0-9.-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/xfwd; takes Go alone
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/xfwd ./cmd/xfwd

.PHONY: generate
generate: ## Compile the BPF programs and generate their Go, with clang 19
	@hack/setup.sh build generate
	$(GO) generate ./bpf

.PHONY: vmlinux.h
vmlinux.h: ## Print the kernel types of bpf/vmlinux.txt anew, from the running kernel
	@header=$$(hack/vmlinux.sh) && echo "$$header" >$@

.PHONY: check-generated
check-generated: ## Generate everything anew and want no difference
	@hack/setup.sh build generate
	@hack/check-generated.sh

.PHONY: test
test: unit e2e test-vm ## Run every test, as root: in network namespaces of their own, and on other kernels

# A line for each test or package; at the end, what failed. Tests that fail run once more, by themselves: a machine
# that was busy for a moment is not a fault. Those that pass then are among what failed, but the whole has not.
GOTESTSUM = $(GO) tool -modfile=hack/tools.mod gotestsum --rerun-fails=1 --rerun-fails-run-root-test

.PHONY: unit
unit: root ## Run the tests of packages and programs
	@hack/setup.sh build test
	$(SUDO) $(GOTESTSUM) --packages "$$($(GO) list ./... | grep -vE '/test/(attack|e2e|page|vm/devices)' | tr '\n' ' ')" \
		-- -count=1 -timeout 10m

# These measure time, so nothing else runs beside them. They take minutes: a line for each test shows how far they are.
.PHONY: e2e
e2e: root ## Run the tests of the whole, with real clients and servers
	@hack/setup.sh build test page
	$(SUDO) $(GOTESTSUM) --format testname --packages "./test/e2e ./test/page ./test/attack" -- -count=1 -timeout 55m -p 1

# Those of the core that do not wait for anybody else.
.PHONY: test-kernels
test-kernels: root ## Run the programs, what attaches them, packets and the model on the KERNELS of test/vm/kernels, in QEMU
	@hack/setup.sh build vm
	$(SUDO) $(GO) run ./test/vm -kernel '$(KERNELS)' -core -again -timeout 15m ./test/vm/programs ./internal/loader ./test/packet

.PHONY: test-vm
test-vm: root ## Run the tests of test/vm/core in QEMU, on the KERNELS of test/vm/kernels
	@hack/setup.sh build vm
	$(SUDO) $(GO) run ./test/vm -kernel '$(KERNELS)' -core -again -timeout 15m

.PHONY: test-vm-all
test-vm-all: root ## Run all that depends on the kernel in QEMU; takes hours
	@hack/setup.sh build vm
	$(SUDO) $(GO) run ./test/vm

.PHONY: record
record: root ## Write down how many instructions the kernels' verifiers look at
	@hack/setup.sh build vm
	$(SUDO) $(GO) run ./test/vm -record

.PHONY: lint
lint: ## Check the style of Go, C and shell
	@hack/setup.sh build lint
	@hack/lint.sh

.PHONY: fuzz
fuzz: root ## Run each fuzz target for FUZZTIME
	@hack/setup.sh build
	@$(SUDO) hack/fuzz.sh $(FUZZTIME)

.PHONY: model
model: root ## Compare the programs with their model for STEPS steps of chance
	@hack/setup.sh build
	$(SUDO) $(GO) test -count=1 -timeout 0 -v -run '^TestModel$$' ./test/packet -model.steps $(STEPS)

.PHONY: packet-times
packet-times: root ## Take the time of each case of the packet tests, in nanoseconds
	@hack/setup.sh build
	$(SUDO) $(GO) test -count=1 -timeout 0 -parallel 1 -skip 'Model|Fuzz' ./test/packet -packet.times 10000

.PHONY: mutants
mutants: root ## Break the programs in many ways, each of which the model must see within a minute
	@hack/setup.sh build generate
	$(SUDO) $(GO) run ./test/mutants

.PHONY: screenshots
screenshots: root ## Take the pictures of the README anew, of a host with traffic
	@hack/setup.sh build screenshots
	@$(MAKE) --no-print-directory build
	$(SUDO) XFWD_BINARY=$(CURDIR)/bin/xfwd $(GO) test -count=1 -run '^TestScreenshots$$' ./test/page -images $(CURDIR)/docs/images

.PHONY: demo
demo: root ## Publish port 80 of nginx on 30080 in throw-away namespaces, and show it
	@hack/setup.sh build demo
	@$(MAKE) --no-print-directory build
	@$(SUDO) hack/demo.sh

.PHONY: bench
bench: root ## Compare xfwd with other forwarders; takes long, and a quiet machine
	@hack/setup.sh build bench
	$(SUDO) $(GO) run ./test/bench

# A package's DESTDIR belongs to its builder; the system's directories belong to root.
INSTALL = $(if $(DESTDIR),,$(SUDO)) install
BIN = $(DESTDIR)$(PREFIX)/bin/xfwd
UNITS = $(DESTDIR)$(PREFIX)/lib/systemd/system
BASH_COMPLETION = $(DESTDIR)$(PREFIX)/share/bash-completion/completions/xfwd
ZSH_COMPLETION = $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_xfwd
FISH_COMPLETION = $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/xfwd.fish

.PHONY: install
install: build ## Install the command, its completions and the systemd units below PREFIX
	$(INSTALL) -D -m 755 bin/xfwd $(BIN)
	sed 's|/usr/local/|$(PREFIX)/|' deploy/systemd/xfwd.service | $(INSTALL) -D -m 644 /dev/stdin $(UNITS)/xfwd.service
	sed 's|/usr/local/|$(PREFIX)/|' deploy/systemd/xfwd-serve.service | $(INSTALL) -D -m 644 /dev/stdin $(UNITS)/xfwd-serve.service
	bin/xfwd completion bash | $(INSTALL) -D -m 644 /dev/stdin $(BASH_COMPLETION)
	bin/xfwd completion zsh | $(INSTALL) -D -m 644 /dev/stdin $(ZSH_COMPLETION)
	bin/xfwd completion fish | $(INSTALL) -D -m 644 /dev/stdin $(FISH_COMPLETION)

.PHONY: uninstall
uninstall: ## Remove what install installed; forwards stay in the kernel until xfwd unload
	$(if $(DESTDIR),,$(SUDO)) rm -f $(BIN) $(UNITS)/xfwd.service $(UNITS)/xfwd-serve.service $(BASH_COMPLETION) $(ZSH_COMPLETION) $(FISH_COMPLETION)

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin

.PHONY: root
root:
	@[ "$$(id -u)" = 0 ] || command -v sudo >/dev/null || { echo "make: this takes root: run it as root, or install sudo" >&2; exit 1; }
