package job

import (
	"errors"
	"strings"
	"testing"
)

func TestKernelArg(t *testing.T) {
	for _, c := range []struct{ arg, word, why string }{
		{"quiet", "quiet", ""},
		{"console=ttyS0,115200n8", "console=ttyS0,115200n8", ""},
		{"a=$b;c!{d}&|#<>()*?~^`", "a=$b;c!{d}&|#<>()*?~^`", ""},
		{`dyndbg="file x.c +p"`, "dyndbg=file x.c +p", ""},
		{`"dyndbg=file x.c +p"`, "dyndbg=file x.c +p", ""},
		{"dyndbg=file x.c +p", "dyndbg=file x.c +p", ""},
		{`a=""`, "a=", ""},
		{"a=b=c", "a=b=c", ""},
		{"root=UUID=1-2", "root=UUID=1-2", ""},
		{"systemd.unit=rescue.target", "systemd.unit=rescue.target", ""},
		{"--", "--", ""},
		{strings.Repeat("a", 256), strings.Repeat("a", 256), ""},
		{strings.Repeat("a", 257), "", "257 bytes"},
		{"", "", "empty"},
		{`""`, "", "no name"},
		{"=x", "", "no name"},
		{" x", "", "its name has a space"},
		{"a b", "", "its name has a space"},
		{`"a b"`, "", "its name has a space"},
		{`a ="b c"`, "", "its name has a space"},
		{"a\nb", "", "control character"},
		{"a\x00", "", "control character"},
		{"a\x7f", "", "control character"},
		{"ä", "", "not ASCII"},
		{"\xff", "", "not ASCII"},
		{"a'b", "", "cannot pass on '"},
		{`a\b`, "", `cannot pass on \`},
		{`a=b"c`, "", "double quotes"},
		{`a"="b`, "", "double quotes"},
		{`a="b`, "", "double quotes"},
		{`a="b"c"`, "", "double quotes"},
		{`"a="b""`, "", "double quotes"},
	} {
		word, err := KernelArg(c.arg)
		if word != c.word || (err == nil) != (c.why == "") ||
			err != nil && (!errors.Is(err, ErrKernelArg) || !strings.Contains(err.Error(), c.why)) {
			t.Errorf("KernelArg(%q) = %q, %v, want %q, an error with %q", c.arg, word, err, c.word, c.why)
		}
	}
}

func TestKernelArgs(t *testing.T) {
	long := strings.Repeat("a", 255)
	for _, c := range []struct {
		args []string
		why  []string
	}{
		{nil, nil},
		{[]string{long, long, long, long, long, long}, nil},
		{[]string{long, long, long, long, long, long, ""}, []string{"1537 bytes", "empty"}},
		{[]string{"a'", "b\\"}, []string{`"a'"`, `"b\\"`}},
	} {
		err := KernelArgs(c.args)
		if (err == nil) != (c.why == nil) {
			t.Errorf("KernelArgs(%q) = %v, want an error with %q", c.args, err, c.why)
		}
		for _, why := range c.why {
			if err != nil && !strings.Contains(err.Error(), why) {
				t.Errorf("KernelArgs(%q) = %v, want an error with %q", c.args, err, why)
			}
		}
	}
}

// Whatever is accepted reaches the kernel as one argument with the same name and value: through GRUB, which quotes and
// escapes, and the kernel's parser.
func FuzzKernelArg(f *testing.F) {
	for _, s := range []string{"quiet", `a="b c"`, `"a=b c"`, "a=b c", `a="`, `""`, "a=$b;c!", "a'b", `\x41`, "à",
		"a=\"b\" c\"", `ac ="b c"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		word, err := KernelArg(s)
		if err != nil {
			return
		}
		wantName, wantValue, rest := nextArg(s)
		if !strings.Contains(s, `"`) { // a space that was not quoted is ours to quote
			wantName, wantValue, _ = strings.Cut(s, "=")
			rest = ""
		}
		name, value, after := nextArg(grubLine(word))
		if name != wantName || value != wantValue || after != "" || rest != "" {
			t.Errorf("KernelArg(%q) = %q reaches the kernel as %q = %q and %q, want %q = %q", s, word, name, value,
				after, wantName, wantValue)
		}
	})
}

// grubLine is what GRUB writes for one word (grub_create_loader_cmdline).
func grubLine(word string) string {
	escaped := strings.NewReplacer(`\`, `\\`, `'`, `\'`, `"`, `\"`).Replace(word)
	if strings.Contains(word, " ") {
		return `"` + escaped + `"`
	}
	return escaped
}

// nextArg is the kernel's parser.
func nextArg(line string) (name, value, rest string) {
	inQuote, quoted := false, false
	if strings.HasPrefix(line, `"`) {
		line, inQuote, quoted = line[1:], true, true
	}
	i, equals := 0, 0
	for ; i < len(line); i++ {
		if strings.IndexByte(" \t\n\v\f\r\xa0", line[i]) >= 0 && !inQuote {
			break
		}
		if equals == 0 && line[i] == '=' {
			equals = i
		}
		if line[i] == '"' {
			inQuote = !inQuote
		}
	}
	arg, rest := line[:i], strings.TrimSpace(line[i:])
	if quoted {
		arg = strings.TrimSuffix(arg, `"`)
	}
	if equals == 0 {
		return arg, "", rest
	}
	name, value = arg[:equals], arg[equals+1:]
	if strings.HasPrefix(value, `"`) {
		value = strings.TrimSuffix(value[1:], `"`)
	}
	return name, value, rest
}
