//go:build clients

package clients_test

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
)

//go:embed testdata/*.mjs testdata/package.json testdata/package-lock.json
var testdata embed.FS

// installTime bounds the first download.
const installTime = 5 * time.Minute

// installed returns the directory with node_modules, one for each content of the lockfile.
var installed = sync.OnceValues(func() (string, error) {
	lock, err := testdata.ReadFile("testdata/package-lock.json")
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(lock)
	dir := filepath.Join(cache, "sippet-mcp-clients", hex.EncodeToString(sum[:6]))
	// npm writes this file last.
	if _, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json")); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for _, name := range []string{"package.json", "package-lock.json"} {
		raw, err := testdata.ReadFile("testdata/" + name)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o644); err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), installTime)
	defer cancel()
	c := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return dir, nil
})

// npm is the installed packages, and a copy of the scripts beside them.
type npm struct{ modules, scripts string }

func install(t *testing.T) npm {
	t.Helper()
	dir, err := installed()
	if err != nil {
		t.Fatal(err)
	}
	n := npm{filepath.Join(dir, "node_modules"), t.TempDir()}
	scripts, err := testdata.ReadDir("testdata")
	for _, s := range scripts {
		var raw []byte
		if raw, err = testdata.ReadFile("testdata/" + s.Name()); err == nil {
			err = os.WriteFile(filepath.Join(n.scripts, s.Name()), raw, 0o644)
		}
		if err != nil {
			break
		}
	}
	// A script finds packages in the folder that it is in.
	if err == nil {
		err = os.Symlink(n.modules, filepath.Join(n.scripts, "node_modules"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// binary returns the path of a program in one of the packages that exist for each platform.
func (n npm) binary(prefix, path string) string {
	arch := runtime.GOARCH
	if arch == "amd64" {
		arch = "x64"
	}
	return filepath.Join(n.modules, prefix+runtime.GOOS+"-"+arch, path)
}

func (n npm) node() string   { return n.binary("node-", "bin/node") }
func (n npm) claude() string { return n.binary("@anthropic-ai/claude-code-", "claude") }

// environment is all that a client sees: no key and no setting of the person who runs the test. The
// proxy is no proxy, so that nothing but plain HTTP to this machine can be reached.
func (n npm) environment(home string) []string {
	return []string{"HOME=" + home, "PATH=" + filepath.Dir(n.node()) + string(os.PathListSeparator) + os.Getenv("PATH"),
		"TMPDIR=" + os.TempDir(), "NO_COLOR=1", "TERM=dumb",
		"HTTPS_PROXY=http://127.0.0.1:9", "NO_PROXY=127.0.0.1,localhost", "NODE_USE_ENV_PROXY=1",
		"DISABLE_TELEMETRY=1", "MASTRA_TELEMETRY_DISABLED=1"}
}
