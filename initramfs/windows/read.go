package windows

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"griddle/appliance/job"

	ntfs "www.velocidex.com/golang/go-ntfs/parser"
	"www.velocidex.com/golang/regparser"
)

// maxRead is how much of a volume is read, in bytes: the folders on the way, and some pages of two files.
const maxRead = 256 << 20

// read says which Windows is on a volume. It panics and runs without an end on some of those that are damaged: it is
// for a process of its own.
func read(volume io.ReaderAt) (System, error) {
	v, err := ntfs.GetNTFSContext(&bounded{ReaderAt: volume, left: maxRead}, 0)
	if err != nil {
		return System{}, fmt.Errorf("reading the volume: %w", err)
	}
	software, err := hive(v, fileSoftware)
	if err != nil {
		return System{}, err
	}
	key := software.OpenKey(keyVersion)
	if key == nil {
		return System{}, fmt.Errorf("reading the registry: %s has no key %s", fileSoftware, keyVersion)
	}
	s := named(values(key))
	if s.Product == "" {
		return System{}, fmt.Errorf("reading the registry: %s does not name the system", fileSoftware)
	}
	s.Computer = computer(v)
	return s, nil
}

// hive opens a file of the registry.
func hive(v *ntfs.NTFSContext, path string) (*regparser.Registry, error) {
	f, err := ntfs.GetDataForPath(v, path)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	r, err := regparser.NewRegistry(f)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return r, nil
}

// computer is the name of the computer, "" if it is not found: it is in the set of settings that Windows started with
// last.
func computer(v *ntfs.NTFSContext) string {
	system, err := hive(v, fileSystem)
	if err != nil {
		return ""
	}
	set := uint64(1)
	if key := system.OpenKey(keySelect); key != nil {
		_, number := values(key)
		if n, ok := number("Current"); ok {
			set = n
		}
	}
	key := system.OpenKey(fmt.Sprintf(keyComputer, set))
	if key == nil {
		return ""
	}
	text, _ := values(key)
	return job.Printable(text("ComputerName"))
}

// values are those of a key, by their names.
func values(key *regparser.CM_KEY_NODE) (text func(string) string, number func(string) (uint64, bool)) {
	find := func(name string) *regparser.ValueData {
		for _, v := range key.Values() {
			if strings.EqualFold(v.ValueName(), name) && v.DataSize() <= 4096 {
				return v.ValueData()
			}
		}
		return &regparser.ValueData{}
	}
	text = func(name string) string {
		v := find(name)
		if v.Type != regparser.REG_SZ {
			return ""
		}
		s, _, _ := strings.Cut(v.String, "\x00")
		return s
	}
	number = func(name string) (uint64, bool) {
		v := find(name)
		return v.Uint64, v.Type == regparser.REG_DWORD && v.Error == nil
	}
	return text, number
}

// errFar means that a volume leads around in it.
var errFar = errors.New("too much of it would have to be read")

// bounded fails after so many bytes.
type bounded struct {
	io.ReaderAt
	mu   sync.Mutex
	left int64
}

func (b *bounded) ReadAt(p []byte, at int64) (int, error) {
	b.mu.Lock()
	b.left -= int64(max(len(p), 512))
	spent := b.left < 0
	b.mu.Unlock()
	if spent {
		panic(errFar) // some readers try again after an error
	}
	return b.ReaderAt.ReadAt(p, at)
}
