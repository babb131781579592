# What is run by hand and by the checks. `make ci` is all that must pass.

CARGO ?= cargo
# Where `make install` puts things; packages set DESTDIR.
DESTDIR ?=
PREFIX ?= /usr/local

.PHONY: help fmt lint test doc golden fuzz-smoke deny coverage bench instructions deb install ci

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 16

fmt: ## is everything formatted?
	$(CARGO) fmt --check

lint: ## clippy, warnings are errors
	$(CARGO) clippy --all-targets --locked -- -D warnings

test: ## every test
	$(CARGO) test --locked

doc: ## the documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --locked

golden: ## write the expected diagnostics anew; look at the difference before committing
	BLESS=1 $(CARGO) test --locked --test it config

fuzz-smoke: ## the fuzz bodies on a stable compiler, for a quarter of a minute
	FUZZ_ITERATIONS=3000000 $(CARGO) test --locked --test it fuzz

deny: ## licences, bans and sources of dependencies (needs cargo-deny)
	$(CARGO) deny --locked check bans licenses sources

# Containers are read-only, and an instrumented daemon complains that it cannot write there.
coverage: ## lines that the tests reach in http, routing and config (needs cargo-tarpaulin)
	$(CARGO) tarpaulin --engine llvm --follow-exec --locked --lib --test it --timeout 900 \
		--include-files 'src/http/*' 'src/routing/*' 'src/config/*' \
		--exclude-files 'src/*/fuzz.rs' --target-dir target/coverage --out Stdout \
		-- --skip e2e::container

bench: ## CPU time a request against nginx, HAProxy and Caddy (needs wrk)
	$(CARGO) bench --locked --bench peers

instructions: ## instructions an operation (needs valgrind)
	$(CARGO) bench --locked --bench instructions

deb: ## target/debian/httpserverd_VERSION_ARCH.deb
	packaging/deb.sh

install: ## binary and man page under PREFIX
	$(CARGO) build --release --locked
	install -D -m 755 target/release/httpserverd $(DESTDIR)$(PREFIX)/bin/httpserverd
	install -D -m 644 packaging/httpserverd.8 $(DESTDIR)$(PREFIX)/share/man/man8/httpserverd.8

ci: ## all that must pass
	.ci/run
