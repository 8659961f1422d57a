.DEFAULT_GOAL := help
.PHONY: help run test race lint fmt fuzz bench pictures inspector build vuln

help: ## list these targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: ## serve the sandbox over HTTP on 127.0.0.1:8765
	go run ./cmd/sippet-mcp http --sandbox

test: ## every test
	go test ./...

# The longest packages first, so that none is left to run alone.
race: ## the same, with fewer rounds, under the race detector (needs a C compiler)
	go test -race -short -timeout 15m ./tools ./internal/ledger ./...

lint: ## formatting, vet, staticcheck
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	go vet ./...
	go tool staticcheck ./...

fmt: ## format the code
	gofmt -w .

fuzz: ## each fuzz target for half a minute
	@for p in ./schemas:FuzzCheck ./rpc:FuzzEnvelope; do \
		go test $${p%%:*} -run '^$$' -fuzz $${p##*:} -fuzztime 30s || exit 1; done

bench: ## measure against a direct POST and a bare mcp-go server
	go run ./bench

pictures: ## what people see in the inbox, as pictures in artifacts/ (needs Chromium)
	@mkdir -p artifacts
	go test -count=1 -run TestLooks -artifacts -outputdir "$(CURDIR)/artifacts" ./internal/inbox

inspector: ## the official MCP Inspector against the sandbox (needs npm)
	go test -count=1 -v ./internal/inspector

build: ## the program, in bin/
	CGO_ENABLED=0 go build -trimpath -o bin/sippet-mcp ./cmd/sippet-mcp

vuln: ## known vulnerabilities (needs the network)
	go run golang.org/x/vuln/cmd/govulncheck@latest ./...
