package powercut

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/pool/history"
	"griddle/initramfs/resident/order"
)

// ProbeLine matches what the probe says on the console.
const ProbeLine = `POWERCUT \S+ \.$`

// Said is what a machine found at a start, as its probe says it.
type Said struct {
	Root     string            // the one that runs, without "@roots/"
	Boot     string            // the kernel's boot_id
	Release  string            // of the image
	Data     map[string]string // digests of what no power cut changes, by name
	Failed   string            // units
	Roots    []string          // in @roots
	History  []history.Event
	Env      bootenv.Env // of the copy that GRUB takes
	Ordered  bool        // an order waits
	Result   *order.Result
	Reported order.Reported

	All map[string]string // everything, for people
}

// data are the names of Said.Data.
var data = []string{"home", "persistent", "identity"}

// Parse reads the probe's line. It fails where a file is not whole: each is written so that a power cut leaves the one
// before or the new one.
func Parse(line string) (Said, error) {
	_, text, _ := strings.Cut(line, "POWERCUT ")
	packed, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(text, " ."))
	if err != nil {
		return Said{}, fmt.Errorf("reading what the probe said: %w", err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return Said{}, fmt.Errorf("reading what the probe said: %w", err)
	}
	plain, err := io.ReadAll(z)
	if err == nil && !bytes.HasSuffix(plain, []byte("end\n")) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return Said{}, fmt.Errorf("reading what the probe said: %w", err)
	}
	return parse(string(plain))
}

func parse(text string) (Said, error) {
	s := Said{Data: map[string]string{}, All: map[string]string{}}
	var errs []error
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if isFile(name) {
			b, err := base64.StdEncoding.DecodeString(value)
			errs = append(errs, err)
			value = string(b)
		}
		s.All[name] = value
	}
	s.Root = strings.TrimPrefix(s.All["root"], "/@roots/")
	s.Boot, s.Release, s.Failed = s.All["boot"], s.All["release"], s.All["failed"]
	s.Roots = strings.Fields(s.All["roots"])
	for _, name := range data {
		s.Data[name] = s.All[name]
	}
	env, err := bootenv.Parse([]byte(s.All["grubenv"]))
	if err != nil {
		env, err = bootenv.Parse([]byte(s.All["grubenv2"]))
	}
	s.Env = env
	errs = append(errs, err, s.read("update.json", &s.Result), s.read("reported.json", &s.Reported),
		s.read("order.json", new(order.Order)), s.read("kexec.json", new(any)), s.read("trial.json", new(any)))
	_, s.Ordered = s.All["order.json"]
	for line := range strings.Lines(s.All["history.jsonl"]) {
		var e history.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			errs = append(errs, fmt.Errorf("a line of the history is not whole: %q", line))
		}
		s.History = append(s.History, e)
	}
	return s, errors.Join(errs...)
}

// isFile says whether a value is the content of a file.
func isFile(name string) bool {
	return strings.Contains(name, ".json") || strings.HasPrefix(name, "grubenv")
}

// read reads a file of the machine, if there is one.
func (s Said) read(name string, v any) error {
	text, ok := s.All[name]
	if !ok {
		return nil
	}
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return fmt.Errorf("%s is not whole: %w", name, err)
	}
	return nil
}

// String is all of it, a line for each name.
func (s Said) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.All)) {
		value := strings.TrimSpace(strings.TrimRight(s.All[name], "#"))
		fmt.Fprintf(&b, "\t%s: %s\n", name, strings.ReplaceAll(value, "\n", "\n\t\t"))
	}
	return b.String()
}
