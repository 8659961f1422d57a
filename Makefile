.DEFAULT_GOAL := help
.PHONY: help run build test race lint words fmt fuzz hijack bench flood docs browsers pictures inspector clients vuln

help: ## list these targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: ## serve the sandbox over HTTP on 127.0.0.1:8765
	go run ./cmd/sippet-mcp http --sandbox

build: ## build the program into bin/
	CGO_ENABLED=0 go build -trimpath -o bin/sippet-mcp ./cmd/sippet-mcp

test: ## run every test
	go test ./...

# The longest packages first, so that none is left to run alone.
race: ## run every test with fewer rounds under the race detector (needs a C compiler)
	go test -race -short -timeout 15m ./tools ./internal/ledger ./...

lint: words ## check formatting and terms, and run vet, staticcheck, golangci-lint and deadcode
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	go vet -tags clients ./...
	go tool staticcheck -tags clients ./...
	go tool -modfile=internal/lint/golangci/go.mod golangci-lint run
	@echo "go tool deadcode -test -tags clients ./..."; dead=$$(go tool deadcode -test -tags clients ./...) || exit 1; \
		test -z "$$dead" || { echo "$$dead"; exit 1; }

words: ## look for retired terms in names and texts
	go run ./internal/lint/words

fmt: ## format the code
	gofmt -w .

FUZZTIME ?= 30s
fuzz: ## run each fuzz target for half a minute (FUZZTIME=5m for longer)
	@list=$$(go test -list '^Fuzz' ./...) || { echo "$$list"; exit 1; }; \
	echo "$$list" | awk '/^Fuzz/ { names[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, names[i]; n = 0 }' | \
	while read -r package name; do \
		echo "$$package $$name"; \
		go test "$$package" -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) || exit 1; \
	done

N ?= 100000
hijack: ## let a hijacked caller try 100,000 random sequences under each profile (N=5000 for fewer)
	go test ./policy -count=1 -timeout 0 -run TestHijackedCaller -v -rapid.checks=$(N)

bench: ## compare with a direct POST and a bare mcp-go server
	go run ./bench

MINUTES ?= 10
flood: ## let one caller flood a server beside nine others for 10 minutes (MINUTES=1 for fewer)
	go run ./bench -flood $(MINUTES)m

docs: ## rewrite what is generated in docs/
	go test ./policy/rules -run 'TestSchemaFile|TestThreatsPage' -update
	go test ./cmd/sippet-mcp -run TestFriction -update

browsers: ## run the browser tests of the inbox twenty times (needs Chromium; half an hour)
	go test -count=20 -timeout 90m -run TestBrowser ./internal/inbox

pictures: ## take pictures of the inbox into artifacts/ (needs Chromium)
	@mkdir -p artifacts
	go test -count=1 -run TestLooks -artifacts -outputdir "$(CURDIR)/artifacts" ./internal/inbox

inspector: ## test with the official MCP Inspector against the sandbox (needs npm)
	go test -count=1 -v ./internal/inspector

# Each waits for another process most of the time.
clients: ## test with clients from npm: SDKs, agent frameworks, Claude Code (needs npm, Linux and a gigabyte)
	go test -count=1 -tags clients -parallel 6 -timeout 15m ./internal/clients

vuln: ## look for known vulnerabilities (needs a network)
	go run golang.org/x/vuln/cmd/govulncheck@latest ./...
