package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// errFlush is for a terminal on which earlier typing cannot be told from an answer.
var errFlush = errors.New("what was typed earlier could not be dropped")

// askApproval shows a card on the terminal and reports whether the person approved. For more than
// ten people they must type their number. The error is errFlush, or why there is no answer.
func askApproval(ctx context.Context, tty terminal, card *approval.Card) (approved bool, err error) {
	if err := tty.Flush(); err != nil {
		return false, errFlush
	}
	button, _ := schemas.Buttons(card.Action)
	word, prompt := "approve", button+"? Type approve to run this call: "
	if n := card.StateNumber; n > 0 {
		word = strconv.Itoa(n)
		prompt = fmt.Sprintf("%s? Type %d, the number of people, to run this call: ", button, n)
	}
	fmt.Fprintf(tty, "\n%s\n\n%s", card.Long(), prompt)
	line, err := readLine(ctx, tty)
	if err != nil {
		return false, err
	}
	return strings.EqualFold(strings.TrimSpace(line), word), nil
}

// readLine reads one line, of at most a thousand bytes, unless ctx ends before.
func readLine(ctx context.Context, in io.Reader) (string, error) {
	type result struct {
		line string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		line, err := bufio.NewReader(io.LimitReader(in, 1000)).ReadString('\n')
		done <- result{line, err}
	}()
	select {
	case r := <-done:
		return r.line, r.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
