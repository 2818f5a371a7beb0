package download

import (
	"encoding/json"
	"fmt"

	"griddle/appliance/job"
	"griddle/appliance/recoverykey"
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

// RecoveryKeys reads the recovery keys of a machine as a server sent them, and checks all of them.
func RecoveryKeys(all []string) ([]string, error) {
	if len(all) == 0 || len(all) > job.MaxRecovery {
		return nil, fmt.Errorf("the server sent %d recovery keys for this machine, and it has 1 to %d", len(all),
			job.MaxRecovery)
	}
	out := make([]string, len(all))
	for i, s := range all {
		var err error
		if out[i], err = recoverykey.Parse(s); err != nil {
			return nil, fmt.Errorf("reading recovery key %d of this machine: %w", i+1, err)
		}
	}
	return out, nil
}
