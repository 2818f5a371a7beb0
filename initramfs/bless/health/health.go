// Package health is what a site asks of a new root before it counts as good: a folder of programs, and a file that says
// whether the server has to answer. Package bless does what it says.
//
// Call Read for the file of a system, and Encode for the content of one.
//
//	{"server":"required"}    or "optional"; without it the server has to answer if the system before reached it
package health

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Paths below the top of a system.
const (
	ChecksDir  = "etc/griddle/health.d"
	ConfigFile = "etc/griddle/health.json"
)

// Config is what ConfigFile has.
type Config struct {
	Server Need `json:"server"`
}

// Need says whether the server has to answer.
type Need string

// The values of Need. The empty one means that the server must answer if the system before reached it.
const (
	Required Need = "required"
	Optional Need = "optional"
)

// Read reads a ConfigFile. The zero Config is what a system without the file has.
func Read(file string) (Config, error) {
	var c Config
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		return c, fmt.Errorf("reading %s: %w", file, err)
	}
	if c.Server != "" && c.Server != Required && c.Server != Optional {
		return c, fmt.Errorf("reading %s: server is %q, and must be %q or %q", file, c.Server, Required, Optional)
	}
	return c, nil
}

// Encode is the content of a ConfigFile.
func (c Config) Encode() ([]byte, error) {
	b, err := json.Marshal(c)
	return append(b, '\n'), err
}
