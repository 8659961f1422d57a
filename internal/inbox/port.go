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
// as 127.0.0.1:8766. The address stays the same unless another program takes the port.
const AddressFile = "inbox"

const (
	firstPort = 8766
	portCount = 200 // how many are tried
)

// LocalURL returns the base URL of the inbox that a state directory has on this machine. Its error
// is fs.ErrNotExist if it had none yet.
func LocalURL(dir string) (string, error) {
	addr, err := os.ReadFile(filepath.Join(dir, AddressFile))
	if err != nil {
		return "", err
	}
	return "http://" + strings.TrimSpace(string(addr)), nil
}

// listen listens on the fixed port. It returns neither a listener nor an error if another process
// of the ledger serves the inbox there. If another program has the port, it chooses a new one.
func (h *Host) listen(ctx context.Context) (net.Listener, error) {
	fixed, err := os.ReadFile(filepath.Join(h.o.Ledger.Dir(), AddressFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if addr := strings.TrimSpace(string(fixed)); addr != "" {
		ln, err := h.o.Listen(addr)
		if err == nil {
			h.setAddress(addr)
			return ln, nil
		}
		if _, checkErr := CheckOwner(ctx, h.o.Ledger, "http://"+addr); checkErr == nil {
			h.setAddress(addr)
			return nil, nil
		}
		h.o.Log.Warn("another program uses the port of the inbox; choosing another port", "address", addr, "cause", err)
	}
	for port := firstPort; port < firstPort+portCount; port++ {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		ln, err := h.o.Listen(addr)
		if err != nil {
			continue
		}
		if err := h.writeAddress(addr, string(fixed)); err != nil {
			ln.Close()
			return nil, err
		}
		h.setAddress(addr)
		return ln, nil
	}
	return nil, fmt.Errorf("no port from %d to %d is free", firstPort, firstPort+portCount-1)
}

// writeAddress stores the address. It returns an error if another process stored the first one
// meanwhile.
func (h *Host) writeAddress(addr, before string) error {
	path := filepath.Join(h.o.Ledger.Dir(), AddressFile)
	temp := path + "." + ledger.NewID()
	if err := os.WriteFile(temp, []byte(addr+"\n"), 0o600); err != nil {
		return err
	}
	defer os.Remove(temp)
	if before == "" {
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

func (h *Host) setAddress(addr string) {
	base := "http://" + addr
	h.base.Store(&base)
}
