package inbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// AddressFile is the file of a state directory with the address of its inbox on this machine, such
// as 127.0.0.1:8766. The address stays the same unless another program takes the port, or
// HostOptions.Addr is another.
const AddressFile = "inbox"

const (
	firstPort = 8766
	portCount = 200 // how many are tried
)

// LocalURL returns the base URL of the inbox that a state directory has on this machine. Its error
// is fs.ErrNotExist if it had none yet.
func LocalURL(dir string) (string, error) {
	addr, err := readAddress(dir)
	if err == nil && addr == "" {
		err = fs.ErrNotExist
	}
	return "http://" + addr, err
}

func readAddress(dir string) (string, error) {
	addr, err := os.ReadFile(filepath.Join(dir, AddressFile))
	return strings.TrimSpace(string(addr)), err
}

// Decide returns the address at which the inbox is served when it is needed. It chooses one if the
// state directory has none yet. Nothing listens there until then.
func (h *Host) Decide(ctx context.Context) (string, error) {
	if h.o.Inbox.Public != nil {
		return h.o.Inbox.Public.String() + Path, nil
	}
	if h.o.Addr != "" {
		return "http://" + onThisMachine(h.o.Addr) + Path, nil
	}
	base, err := LocalURL(h.o.Ledger.Dir())
	if errors.Is(err, fs.ErrNotExist) {
		ln, _, failed := h.listen(ctx)
		if ln != nil {
			ln.Close()
		}
		if base, err = LocalURL(h.o.Ledger.Dir()); err != nil && failed != nil { // else another process was faster
			err = failed
		}
	}
	return base + Path, err
}

// onThisMachine returns the address at which this machine reaches a server that listens at addr.
func onThisMachine(addr string) string {
	switch host, port, _ := net.SplitHostPort(addr); host {
	case "", "0.0.0.0", "localhost":
		return net.JoinHostPort("127.0.0.1", port)
	case "::":
		return net.JoinHostPort("::1", port)
	default:
		return addr
	}
}

// listen listens at HostOptions.Addr, or else on the fixed port, and returns the address at which
// this machine reaches it. The listener is nil if another process of the ledger serves the inbox
// there. If another program has the fixed port, it chooses a new one, unless there is a public URL.
func (h *Host) listen(ctx context.Context) (net.Listener, string, error) {
	fixed, err := readAddress(h.o.Ledger.Dir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, "", err
	}
	at, addr := h.o.Addr, onThisMachine(h.o.Addr)
	if at == "" {
		at, addr = fixed, fixed
	}
	if at != "" {
		ln, err := h.o.Listen(at)
		if err == nil {
			if addr != fixed {
				err = h.writeAddress(addr, false)
			}
			if err != nil {
				ln.Close()
				return nil, "", err
			}
			return ln, addr, nil
		}
		if _, checkErr := CheckOwner(ctx, h.o.Ledger, "http://"+addr); checkErr == nil {
			return nil, addr, nil
		}
		// A proxy would still pass requests on to the old port, and whatever listens there could pass
		// on the proof for the public URL.
		if at == h.o.Addr || h.o.Inbox.Public != nil {
			var cause *net.OpError
			if errors.As(err, &cause) {
				err = cause
			}
			return nil, "", fmt.Errorf("%w; end the program that uses the address, or give another one with --inbox-addr", err)
		}
		h.o.Log.Warn("another program uses the port of the inbox; choosing another port", "address", addr, "cause", err)
	}
	for port := firstPort; port < firstPort+portCount; port++ {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		ln, err := h.o.Listen(addr)
		if err != nil {
			continue
		}
		if err := h.writeAddress(addr, fixed == ""); err != nil {
			ln.Close()
			return nil, "", err
		}
		return ln, addr, nil
	}
	return nil, "", fmt.Errorf("no port from %d to %d is free", firstPort, firstPort+portCount-1)
}

// writeAddress stores the address. If it is to be the first one, and another process stored one
// meanwhile, it returns an error.
func (h *Host) writeAddress(addr string, first bool) error {
	path := filepath.Join(h.o.Ledger.Dir(), AddressFile)
	temp := path + "." + ledger.NewID()
	if err := os.WriteFile(temp, []byte(addr+"\n"), 0o600); err != nil {
		return err
	}
	defer os.Remove(temp)
	if first {
		if err := os.Link(temp, path); err == nil || !errors.Is(err, fs.ErrExist) {
			if err == nil {
				return nil
			}
			return os.Rename(temp, path) // the file system has no links
		}
		return errors.New("another process has just chosen a port")
	}
	return os.Rename(temp, path)
}
