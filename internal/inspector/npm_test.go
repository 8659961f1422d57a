package inspector_test

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

//go:embed package.json
var packageJSON []byte

// installTime bounds the first download.
const installTime = 5 * time.Minute

// installed gives the directory with node_modules, made once for each content of package.json.
var installed = sync.OnceValues(func() (string, error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", errors.New("there is no npm here")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(packageJSON)
	dir := filepath.Join(cache, "sippet-mcp-inspector", hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	// Installed aside and then renamed: what is there is whole, also when two tests run at once.
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	aside, err := os.MkdirTemp(filepath.Dir(dir), "installing-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(aside)
	if err := os.WriteFile(filepath.Join(aside, "package.json"), packageJSON, 0o644); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), installTime)
	defer cancel()
	c := exec.CommandContext(ctx, npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error")
	c.Dir = aside
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm install: %w\n%s", err, out)
	}
	if err := os.Chmod(aside, 0o755); err != nil {
		return "", err
	}
	if err := os.Rename(aside, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, there := os.Stat(dir); there != nil {
			return "", err
		}
	}
	return dir, nil
})

// node is a way to run a script of an installed package.
type node struct{ dir string }

func needNode(t *testing.T) node {
	t.Helper()
	if testing.Short() {
		t.Skip("the real clients are not run with -short")
	}
	giveUp := t.Skipf
	if os.Getenv("CI") != "" {
		giveUp = t.Fatalf
	}
	dir, err := installed()
	if err != nil {
		giveUp("the real clients cannot be run: %v", err)
	}
	return node{dir}
}

// run runs a script with a home of its own, and gives what it printed to both ends.
func (n node) run(t *testing.T, script string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	exe := filepath.Join(n.dir, "node_modules", "node", "bin", "node")
	if runtime.GOOS == "windows" {
		exe += ".exe"
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, exe, append([]string{filepath.Join(n.dir, "node_modules", filepath.FromSlash(script))}, args...)...)
	c.Env = environment(t.TempDir(), filepath.Dir(exe))
	var out, errs strings.Builder
	c.Stdout, c.Stderr = &out, &errs
	err = c.Run()
	return out.String(), errs.String(), err
}

// environment is all that a child sees: no key, no settings of whoever runs the test.
func environment(home, firstInPath string) []string {
	env := []string{
		"HOME=" + home, "USERPROFILE=" + home,
		"PATH=" + firstInPath + string(os.PathListSeparator) + os.Getenv("PATH"),
		"NO_COLOR=1",
	}
	for _, k := range []string{"SYSTEMROOT", "TEMP", "TMP", "TMPDIR"} {
		if v := os.Getenv(k); v != "" {
			env = append(env, k+"="+v)
		}
	}
	return env
}
