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
}

// Settings asks for the settings of the machine. Only the boot that has the job, with the key of its Hello, gets them.
func (c *Client) Settings(ctx context.Context) (Settings, error) {
	var s Settings
	if err := c.do(ctx, http.MethodGet, c.base+SettingsPath, c.token, nil, &s); err != nil {
		return Settings{}, fmt.Errorf("asking for the machine's settings: %w", err)
	}
	return s, nil
}
