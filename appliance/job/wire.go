package job

import "time"

// Paths of the agent's API below the appliance's https address. All take and give JSON.
const (
	HelloPath  = "/v1/agent/hello"  // POST Hello -> Welcome
	ChoosePath = "/v1/agent/choose" // POST Choice -> Spec; bearer token of the Welcome
	EventsPath = "/v1/agent/events" // POST Events -> Acknowledged; bearer token of the Welcome
	StreamPath = "/v1/agent/stream" // POST multicast.Ask -> multicast.Answer; bearer token of the Welcome
	RelayPath  = "/v1/agent/relay"  // POST multicast.RelayReport -> multicast.RelayCommand; bearer token of the Welcome
	HomePath   = "/v1/agent/home"   // POST HomeReport; bearer one-time token of Spec.Home -> 204
	BlobsPath  = "/v1/blobs/"       // GET + digest, plain http, Range
)

// Hello is the first thing that an agent says. Boot is a random UUID made by the agent at each start.
type Hello struct {
	Boot      string    `json:"boot"`
	Agent     string    `json:"agent"` // version and build date
	Identity  Identity  `json:"identity"`
	Inventory Inventory `json:"inventory"`
	Sources   []string  `json:"sources,omitempty"` // kinds of sources that the agent can fetch from, beside plain http: SourceHTTPS
}

// SourceHTTPS is a source of a Spec that is the appliance's own https URL, and takes the token of the boot.
const SourceHTTPS = "https"

// Welcome answers Hello. Job is nil where nothing is to be done without asking; then Images is what the screen
// may offer. Token authorises the other calls of this boot and no other.
type Welcome struct {
	Time    time.Time     `json:"time"`
	Machine string        `json:"machine"` // the name that the appliance knows this machine by
	Token   string        `json:"token"`
	Job     *Spec         `json:"job,omitempty"`
	Images  []ImageChoice `json:"images,omitempty"`

	// Unfinished are the installs that an earlier boot of this machine was asked for at its screen and began, and whose
	// marks the Hello's disks have. They go on only when someone says so, with Choice.Continue.
	Unfinished []Unfinished `json:"unfinished,omitempty"`
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
	NoKernel    bool      `json:"noKernel,omitempty"` // no machine can be installed with it
}

// Choice is what a person chose on the screen. Erase repeats what they typed on the last page. With Continue it is an
// Unfinished.Job, whose image the disk that Disk names goes on to get; only a disk with that mark may lose anything.
type Choice struct {
	Image    string   `json:"image,omitempty"`
	Disk     DiskRule `json:"disk"`
	Erase    string   `json:"erase,omitempty"`
	Continue string   `json:"continue,omitempty"`
}

// Events carries what happened since the last acknowledged number. Sending an event twice changes nothing.
type Events struct {
	Boot   string  `json:"boot"`
	Events []Event `json:"events"`
}

// Acknowledged is the highest number up to which every event of the boot is in the appliance's journal.
type Acknowledged struct {
	Seq       uint64 `json:"seq"`
	Cancelled bool   `json:"cancelled,omitempty"` // the operator took the job back
}

// HomeReport is sent once by the installed system when it is up.
type HomeReport struct {
	Hostname  string `json:"hostname"`
	MachineID string `json:"machineId"`
	Kernel    string `json:"kernel"`
	Root      string `json:"root"` // the subvolume that / is
}
