package job

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// FeatureSettings in Hello.Features: the agent asks for settings and writes them. Without it the server gives no job to
// a machine that has settings.
const FeatureSettings = "settings"

// Approval says whether a boot gets what its job needs.
type Approval string

// The values of Approval.
const (
	Ready   Approval = "ready"   // Settings are the machine's settings, "{}" for none
	Waiting Approval = "waiting" // an operator has to compare Code
)

// Settings answers a boot that asks for the settings of its machine, in the phase PhaseBootable and before. While State
// is Waiting, the screen shows Code and the agent asks again every five seconds. The operator reads Code from the
// machine's screen and approves it; that binds the key of the boot to the machine.
type Settings struct {
	State    Approval        `json:"state"`
	Code     string          `json:"code,omitempty"`     // such as "7K4M-QX2D"
	Settings json.RawMessage `json:"settings,omitempty"` // setting.Settings
	Recovery []string        `json:"recovery,omitempty"` // the answer to RecoveryAsk, the newest key first
}

// RecoveryAsk asks for the recovery keys of the machine (package recoverykey), for its install or update with this ID.
// The answer is a Settings, without settings: State and Code are as there. If the layout of the job has partitions that
// a recovery key opens, there is at least one. All of them are durable on the server, and asking again gives the same
// ones.
type RecoveryAsk struct {
	Job string `json:"job"`
}

// MaxRecovery is the most recovery keys that a machine has.
const MaxRecovery = 32

// Settings asks for the settings of the machine. Only the boot that has the job, with the key of its Hello, gets them.
func (c *Client) Settings(ctx context.Context) (Settings, error) {
	var s Settings
	if err := c.do(ctx, http.MethodGet, c.base+SettingsPath, c.token, nil, &s); err != nil {
		return Settings{}, fmt.Errorf("asking for the machine's settings: %w", err)
	}
	return s, nil
}

// Recovery asks for the recovery keys of the machine. Only the boot that has the job, with the key of its Hello, gets
// them.
func (c *Client) Recovery(ctx context.Context, job string) (s Settings, err error) {
	body, err := json.Marshal(RecoveryAsk{Job: job})
	if err == nil {
		err = c.do(ctx, http.MethodPost, c.base+RecoveryPath, c.token, body, &s)
	}
	if err != nil {
		return Settings{}, fmt.Errorf("asking for the machine's recovery keys: %w", err)
	}
	return s, nil
}
