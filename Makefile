SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS := -s -w -X main.version=$(VERSION)
FUZZTIME ?= 30s
PACKAGES ?= ./...
# ST1003 would rename what the kernel and POSIX spell with underscores.
STATICCHECKS := all,-ST1003
TARGETS := darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
# The race detector needs a C compiler; the program itself is built without.
RACE = $(shell command -v gcc cc clang >/dev/null && [ "$$($(GO) env GOARCH)" != 386 ] && echo -race)
RUN_TESTS = $(GO) tool gotestsum --format standard-quiet --

.PHONY: build test packages lint unit lab bench fuzz oracle cross clean

build: ## bin/portwhy, static
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/portwhy ./agent/cmd/portwhy

test: packages lint cross unit lab ## everything; fuzz targets run with their seeds
	@[ "$$(id -u)" = 0 ] || echo 'make test: not root, so missing Debian packages were not installed, and tests that need root were skipped as listed above'
	@[ -n '$(RACE)' ] || echo 'make test: no C compiler, so the race detector was left out'

packages: ## the Debian packages whose programs the scenarios run
	@.ci/packages

lint: ## gofmt, go vet, staticcheck
	@files=$$(gofmt -l .); [ -z "$$files" ] || { echo 'gofmt would change:'; echo "$$files"; exit 1; }
	$(GO) vet $(PACKAGES)
	$(GO) tool staticcheck -checks '$(STATICCHECKS)' $(PACKAGES)

unit: ## all tests but the lab
	CGO_ENABLED=$(if $(RACE),1,0) $(RUN_TESTS) $(RACE) -skip '^TestLab$$' $(PACKAGES)

lab: ## real faults in network namespaces, diagnosed
	CGO_ENABLED=0 $(RUN_TESTS) -count=1 -timeout 20m ./agent/lab -run TestLab

bench: ## speed beside ss, lsof, nft, iptables and ipset, as ratios
	$(GO) run ./agent/bench

fuzz: ## each fuzz target for FUZZTIME
	@grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed 's,/[^/]*_test.go:func , ,' | sort -u | while read -r dir target; do \
		echo "== $$dir $$target"; $(GO) test "$$dir" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) </dev/null; done

# Flags of the comparison with the kernel: the first seed, how many pairs of
# ruleset and packet (0: until one fails or ^C), and how many packets a ruleset gets.
SEED ?= 1
PAIRS ?= 0
PACKETS ?= 100
oracle: ## random rules and packets: what the evaluator says against what the kernel does
	CGO_ENABLED=0 $(GO) test -count=1 -timeout 0 ./agent/oracle -run TestOracle -v -args -seed $(SEED) -pairs $(PAIRS) -packets $(PACKETS)

cross: ## the other systems: the program builds, and vet takes its tests
	@for t in $(TARGETS); do \
		echo "== $$t"; \
		export CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/}; \
		$(GO) build -trimpath -o bin/$${t%/*}-$${t#*/}/ ./agent/cmd/portwhy; \
		case $$t in */amd64) $(GO) vet $(PACKAGES);; esac; \
	done

clean:
	rm -rf bin
