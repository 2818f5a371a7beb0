package setting

import (
	"slices"
	"strings"
	"testing"
)

// Whatever bytes an image has in a file, the changes of package setting add what they should once, keep every line that
// they do not mean to change, in its order, and change nothing the second time. fuzz checks this of change, which may
// drop or alter the lines of which mine says so.
func fuzz(f *testing.F, change func(*testing.T, string) string, mine func(line string) bool, seeds ...string) {
	for _, s := range append(seeds, "", "\n", "x", "# x\n\n=\n:::\n", "\\\n", "a\r\nb\x00\n",
		blockBegin+"\nold\n"+blockEnd+"\nx\n", blockBegin+"\nunfinished") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := change(t, text)
		if again := change(t, got); again != got {
			t.Errorf("%q became %q, and then %q", text, got, again)
		}
		rest := linesOf([]byte(got))
		for _, line := range linesOf([]byte(withoutBlock([]byte(text)))) {
			if mine(line) {
				continue
			}
			i := slices.Index(rest, line)
			if i < 0 {
				t.Fatalf("%q became %q, without the line %q", text, got, line)
			}
			rest = rest[i+1:]
		}
	})
}

// none says that no line may change.
func none(string) bool { return false }

func FuzzKeys(f *testing.F) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMgER+oTq/ggOWnGoqhy6QkLlMK2+XvJBHehHinQ8WHT ada@example"
	fuzz(f, func(t *testing.T, text string) string {
		text = withoutBlock([]byte(text))
		got := string(withKeys([]byte(text), []string{key}))
		if !slices.Contains(linesOf([]byte(got)), key) {
			t.Errorf("the key is missing: %q", text)
		}
		return got
	}, none, "command=\"x\" "+key+"\n", key)
}

func FuzzSSHD(f *testing.F) {
	port := func(line string) bool {
		key := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t=\n", r) })
		return len(key) > 0 && strings.EqualFold(key[0], "port")
	}
	fuzz(f, func(t *testing.T, text string) string {
		rest := withoutBlock(withoutPorts([]byte(text)))
		if slices.ContainsFunc(linesOf([]byte(rest)), port) {
			t.Errorf("there is a port left: %q", text)
		}
		if includesFirst(rest) {
			return rest
		}
		return block("Port 2222\n") + rest
	}, port, "Include /etc/ssh/sshd_config.d/*.conf\nPort 22\n", " PORT=22\nMatch all\n port 3")
}

func FuzzSudoers(f *testing.F) {
	fuzz(f, func(t *testing.T, text string) string {
		got := string(withIncludedir([]byte(withoutBlock([]byte(text)))))
		if !slices.ContainsFunc(linesOf([]byte(got)), includesSudoers) {
			t.Errorf("the folder is not included: %q", text)
		}
		return got
	}, none, "@includedir /etc/sudoers.d", "root ALL=(ALL) ALL\n#includedir /etc/sudoers.d/\n", "Defaults x \\")
}

func FuzzLocaleGen(f *testing.F) {
	const want = "de_DE.UTF-8 UTF-8"
	fuzz(f, func(_ *testing.T, text string) string {
		return string(generated([]byte(withoutBlock([]byte(text))), want[:11]))
	},
		func(line string) bool { return strings.Contains(line, "de_DE.UTF-8") },
		"# de_DE.UTF-8 UTF-8\n# de_DE ISO-8859-1\n", "#de_DE.UTF-8\tUTF-8 # x")
}

func FuzzAssigned(f *testing.F) {
	fuzz(f, func(_ *testing.T, text string) string {
		return string(assigned([]byte(withoutBlock([]byte(text))), "LANG", "C"))
	},
		func(line string) bool { return strings.Contains(line, "LANG") }, "export LANG=x\nLANG=y",
		"LANG = x\nLANGUAGE=z")
}

func FuzzEnvironment(f *testing.F) {
	fuzz(f, func(t *testing.T, text string) string {
		return string(withVariables([]byte(withoutBlock([]byte(text))), []string{"http_proxy=x", "NO_PROXY=y"}))
	}, func(line string) bool { return strings.Contains(strings.ToLower(line), "_proxy") }, "FTP_PROXY = x\nPATH=a")
}

func FuzzDNF(f *testing.F) {
	fuzz(f, func(_ *testing.T, text string) string {
		return string(inMain([]byte(withoutBlock([]byte(text))), "proxy", "x"))
	},
		func(line string) bool { return strings.Contains(line, "proxy") }, "[main]\nproxy=y\n[x]\nproxy=z\n",
		"proxy = a")
}

func FuzzTimeServers(f *testing.F) {
	server := func(line string) bool { return withoutSources(line) != line }
	fuzz(f, func(t *testing.T, text string) string {
		got := withoutSources(withoutBlock([]byte(text)))
		if slices.ContainsFunc(linesOf([]byte(got)), server) {
			t.Errorf("a server of the image is left: %q", text)
		}
		return endLine(got) + block("server x iburst\n")
	}, server, "pool a iburst\nServer b", " peer c\npools\n")
}
