package lint

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

var (
	quoted   = regexp.MustCompile("`([^`\n]+)`")
	fileName = regexp.MustCompile(`^[\w.*/-]+\.(go|json|md|sql|txt|yaml|html)$`)
	link     = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ (.+)$`)
	fenced   = regexp.MustCompile("(?ms)^```.*?^```$")
)

// pathsIn returns the paths that a line of a page names: words in backticks that end in a slash or in
// the extension of a file. A folder at the start of a table row is the folder of the names after it.
func pathsIn(line string) (paths []string) {
	folder := ""
	for i, m := range quoted.FindAllStringSubmatch(line, -1) {
		name := m[1]
		switch {
		case strings.HasSuffix(name, "/") && !strings.HasPrefix(name, "/"):
			if paths = append(paths, name); i == 0 && strings.HasPrefix(line, "| `") {
				folder = name
			}
		case fileName.MatchString(name):
			paths = append(paths, folder+name)
		}
	}
	return paths
}

func TestPathsOfTheArchitecture(t *testing.T) {
	root := os.DirFS("../..")
	page := read(t, "ARCHITECTURE.md")
	var paths []string
	for _, block := range fenced.FindAllString(page, -1) {
		for w := range strings.FieldsFuncSeq(block, func(r rune) bool { return unicode.IsSpace(r) || r == ',' }) {
			if strings.Contains(w, "/") && fileName.MatchString(w) {
				paths = append(paths, w)
			}
		}
	}
	for line := range strings.SplitSeq(fenced.ReplaceAllString(page, ""), "\n") {
		paths = append(paths, pathsIn(line)...)
	}
	if len(paths) < 50 {
		t.Fatalf("only %d paths were found", len(paths))
	}
	for _, p := range paths {
		if all, err := fs.Glob(root, strings.TrimSuffix(p, "/")); err != nil || len(all) == 0 {
			t.Errorf("ARCHITECTURE.md names %s, which does not exist", p)
		}
	}
}

// The picture of the imports has a row for each level, the highest first.
func TestPictureOfTheArrows(t *testing.T) {
	_, rest, _ := strings.Cut(read(t, "ARCHITECTURE.md"), "\n## Imports\n")
	level := map[string]int{}
	for i, row := range strings.Split(fenced.FindString(rest), "\n") {
		for _, name := range strings.Fields(row) {
			level[name] = i
		}
	}
	shown := 0
	for from, list := range arrows {
		if level[from] == 0 {
			if slices.Contains(arrows["cmd/sippet-mcp"], from) {
				t.Errorf("ARCHITECTURE.md does not show %s", from)
			}
			continue
		}
		shown++
		for _, to := range list {
			if level[to] <= level[from] {
				t.Errorf("ARCHITECTURE.md shows %s, which %s may import, in no row below it", to, from)
			}
		}
	}
	if shown < 10 {
		t.Errorf("the picture shows %d packages", shown)
	}
}

// anchor returns the anchor that a heading gets on GitHub.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

func TestLinksOfPages(t *testing.T) {
	root := os.DirFS("../..")
	var pages []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		found, err := fs.Glob(root, pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	for _, page := range pages {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, wanted, hasAnchor := strings.Cut(m[1], "#")
			target := page
			if file != "" {
				target = path.Join(path.Dir(page), file)
			}
			if _, err := fs.Stat(root, target); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", page, m[1])
				continue
			}
			if !hasAnchor {
				continue
			}
			found := false
			for _, h := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(read(t, target), ""), -1) {
				found = found || anchor(h[1]) == wanted
			}
			if !found {
				t.Errorf("%s: the link to %s names no heading", page, m[1])
			}
		}
	}
}
