package job

import (
	"encoding/json"
	"time"
)

// Paths of the agent's API below the server's https address. Requests and replies are JSON.
const (
	HelloPath  = "/v1/agent/hello"  // POST Hello -> Welcome
	ChoosePath = "/v1/agent/choose" // POST Choice -> Spec; bearer token of the Welcome
	EventsPath = "/v1/agent/events" // POST Events -> Acknowledged; bearer token of the Welcome
	StreamPath = "/v1/agent/stream" // POST multicast.Ask -> multicast.Answer; bearer token of the Welcome
	RelayPath  = "/v1/agent/relay"  // POST multicast.RelayReport -> multicast.RelayCommand; bearer token of the Welcome
	// GET -> Settings; bearer token of the Welcome, and the key of the Hello
	SettingsPath = "/v1/agent/settings"
	RecoveryPath = "/v1/agent/recovery" // POST RecoveryAsk -> Settings; token and key as for SettingsPath
	HomePath     = "/v1/agent/home"     // POST HomeReport; bearer one-time token of Spec.Home -> 204
	BlobsPath    = "/v1/blobs/"         // GET + digest, plain http, Range
)

// Hello is the first message of an agent. Boot is a random UUID that the agent makes at each start.
type Hello struct {
	Boot      string    `json:"boot"`
	Agent     string    `json:"agent"` // version and build date
	Identity  Identity  `json:"identity"`
	Inventory Inventory `json:"inventory"`
	// Sources are the kinds of sources that the agent can fetch from, in addition to plain http: SourceHTTPS.
	Sources []string `json:"sources,omitempty"`
	// Features are what the agent can do beyond the first version of the contract: FeatureSettings,
	// FeatureUpdate, FeatureKernel, FeatureReset, FeatureMatch, FeatureLayout, FeatureMirror, FeatureRoots,
	// FeatureVolumes, FeatureLUKS, FeatureRecovery, FeatureEncryptedPool, FeatureErase,
	// FeatureScreen.
	Features []string `json:"features,omitempty"`
}

// SourceHTTPS means the server's own https URL as a source of a Spec. It takes the token of the boot.
const SourceHTTPS = "https"

// Welcome answers Hello. If Job is nil, the screen asks the user, and Images are the images that it offers. Token
// authorises the other calls of this boot and of no other.
type Welcome struct {
	Time    time.Time     `json:"time"`
	Machine string        `json:"machine"` // the server's name for this machine
	Token   string        `json:"token"`
	Job     *Spec         `json:"job,omitempty"`
	Images  []ImageChoice `json:"images,omitempty"`
	// Zone is by which clocks the screen shows times: those of the machine's settings, else those of the server.
	Zone Zone `json:"zone,omitempty"`

	// Layouts says that the server takes a Choice with a layout, and keeps the records of such a job.
	Layouts bool `json:"layouts,omitempty"`

	// Mirror says the same of a layout whose pool is on two disks.
	Mirror bool `json:"mirror,omitempty"`

	// Approved says that an operator approved the key of this boot for the machine, now or in an earlier boot.
	Approved bool `json:"approved,omitempty"`

	// Screen says that an operator watches the screen of this machine: an agent with FeatureScreen sends it.
	Screen bool `json:"screen,omitempty"`

	// Unfinished are the installs that a user started on this machine's screen in an earlier boot, and whose marks are
	// on the disks of Hello. They continue only if the user says so, with Choice.Continue.
	Unfinished []Unfinished `json:"unfinished,omitempty"`

	// Approval is set while an operator has to approve this boot: before that it gets neither a job nor images. The
	// screen shows its Code, and the agent says hello again, as it does without a job.
	Approval *Settings `json:"approval,omitempty"`
}

// Unfinished is an install that may be continued.
type Unfinished struct {
	Job   string `json:"job"`   // Disk.Unfinished of its disk
	Image string `json:"image"` // Image.Ref
}

// ImageChoice is one line of the image page.
type ImageChoice struct {
	Ref         string    `json:"ref"`
	Description string    `json:"description,omitempty"`
	Size        int64     `json:"size"` // bytes of file contents
	Wire        int64     `json:"wire"` // bytes that a first install fetches
	Published   time.Time `json:"published"`
	NoKernel    bool      `json:"noKernel,omitempty"` // it needs an image with a kernel too
}

// Choice is what the user chose on the screen. Erase names the disk that the user typed on the last page. Continue is
// an Unfinished.Job: the disk that Disk names gets the rest of that job's image, and only a disk with that mark may
// lose data. A job with a layout continues with its layout and the plan that was agreed to. With a new Layout there is
// neither Disk nor Erase; Plan is the one that the user saw and agreed to.
type Choice struct {
	Image    string          `json:"image,omitempty"`
	Disk     DiskRule        `json:"disk"`
	Erase    string          `json:"erase,omitempty"`
	Layout   json.RawMessage `json:"layout,omitempty"` // as Spec.Layout
	Plan     string          `json:"plan,omitempty"`   // as Spec.Plan
	Continue string          `json:"continue,omitempty"`
}

// Events has the events since the last acknowledged number. To send an event twice changes nothing.
type Events struct {
	Boot   string  `json:"boot"`
	Events []Event `json:"events"`
}

// Acknowledged says that every event of the boot up to number Seq is in the server's journal.
type Acknowledged struct {
	Seq       uint64 `json:"seq"`
	Cancelled bool   `json:"cancelled,omitempty"` // the operator cancelled the job
	Screen    bool   `json:"screen,omitempty"`    // as Welcome.Screen
}
