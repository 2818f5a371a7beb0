package download

import (
	"encoding/json"
	"fmt"

	"griddle/appliance/setting"
)

// Settings reads the settings of a machine as a server sent them, and checks all of them.
func Settings(b json.RawMessage) (setting.Settings, error) {
	d, err := setting.Decode("this machine", b)
	if err != nil {
		return setting.Settings{}, err
	}
	s, err := setting.Merge(d).Resolve(setting.Machine{})
	if err != nil {
		return setting.Settings{}, fmt.Errorf("reading the settings of this machine: %w", err)
	}
	return s, nil
}
