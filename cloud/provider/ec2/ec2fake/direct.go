package ec2fake

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const blockSize = 512 << 10

// directAction is what a request of EBS direct asks for.
func directAction(r *http.Request) string {
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/snapshots":
		return "StartSnapshot"
	case r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/blocks/"):
		return "PutSnapshotBlock"
	case r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/snapshots/completion/"):
		return "CompleteSnapshot"
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/blocks"):
		return "ListSnapshotBlocks"
	}
	return r.Method + " " + r.URL.Path
}

func invalid(format string, a ...any) error {
	return &failed{http.StatusBadRequest, "ValidationException", fmt.Sprintf(format, a...)}
}

func unknownSnapshot(id string) error {
	return &failed{http.StatusNotFound, "ResourceNotFoundException", "The snapshot '" + id + "' does not exist."}
}

// writeDirect is an error of EBS direct.
func writeDirect(w http.ResponseWriter, e *failed) {
	w.Header().Set("X-Amzn-ErrorType", e.code)
	w.WriteHeader(e.status)
	w.Write(directError(e))
}

func directError(e *failed) []byte {
	b, err := json.Marshal(map[string]string{"Message": e.message, "__type": e.code})
	if err != nil {
		panic(err)
	}
	return b
}

func (f *Fake) serveDirect(h http.Header, r *http.Request, action string, body []byte) (int, []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.allowed(r)
	if err != nil && f.expired {
		err = &failed{http.StatusForbidden, "ExpiredTokenException",
			"The security token included in the request is expired"}
	}
	status, answer := 0, any(nil)
	if err == nil {
		switch action {
		case "StartSnapshot":
			status, answer, err = f.startSnapshot(body)
		case "PutSnapshotBlock":
			status, answer, err = f.putBlock(h, r, body)
		case "CompleteSnapshot":
			status, answer, err = f.completeSnapshot(r)
		default:
			// What is in a snapshot can be read when it is completed, which our uploads never need.
			err = invalid("the fake does not do %s", action)
		}
	}
	if e, ok := err.(*failed); ok {
		h.Set("X-Amzn-ErrorType", e.code)
		return e.status, directError(e)
	}
	b, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	return status, b
}

func (f *Fake) startSnapshot(body []byte) (int, any, error) {
	var in struct {
		VolumeSize  int
		ClientToken string
		Description string
		Timeout     int
		Tags        []struct{ Key, Value string }
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return 0, nil, invalid("the request: %v", err)
	}
	if in.VolumeSize < 1 || in.VolumeSize > 65536 || in.Timeout < 10 || in.Timeout > 4320 || len(in.Tags) > 50 {
		return 0, nil, invalid("the size, the timeout or the tags are out of range")
	}
	f.trace = append(f.trace, "StartSnapshot\n  "+string(body))
	old, id, err := f.again("snapshot", in.ClientToken, string(body))
	if err != nil {
		return 0, nil, &failed{http.StatusServiceUnavailable, "ConflictException",
			"The request uses the same client token as a previous, but non-identical request."}
	}
	answer := func(id, status string) any {
		return map[string]any{"SnapshotId": id, "BlockSize": blockSize, "VolumeSize": in.VolumeSize, "Status": status}
	}
	if old != nil {
		return http.StatusCreated, answer(old.id, old.state), nil
	}
	if id != "" {
		return http.StatusCreated, answer(id, "pending"), nil
	}
	tags := make(map[string]string)
	for _, t := range in.Tags {
		tags[t.Key] = t.Value
	}
	o, err := f.add("snapshot", tags, map[string]string{"size": strconv.Itoa(in.VolumeSize)})
	if err != nil {
		return 0, nil, err
	}
	o.state, o.blocks, o.data = "pending", make(map[int]string), make(map[int][]byte)
	f.remember("snapshot", in.ClientToken, string(body), o.id)
	return http.StatusCreated, answer(o.id, o.state), nil
}

func (f *Fake) putBlock(h http.Header, r *http.Request, body []byte) (int, any, error) {
	id, index, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/snapshots/"), "/blocks/")
	o, err := f.find("snapshot", id, "")
	if err != nil {
		return 0, nil, unknownSnapshot(id)
	}
	if o.state != "pending" || o.a["sealed"] != "" {
		return 0, nil, invalid("the snapshot is not in the pending state")
	}
	n, err := strconv.Atoi(index)
	size, _ := strconv.Atoi(o.a["size"])
	if err != nil || n < 0 || n >= size*2048 {
		return 0, nil, invalid("the block index %q is out of range", index)
	}
	sum := sha256.Sum256(body)
	want := base64.StdEncoding.EncodeToString(sum[:])
	if len(body) != blockSize || r.Header.Get("x-amz-Data-Length") != strconv.Itoa(blockSize) {
		return 0, nil, invalid("the block has %d bytes", len(body))
	}
	if r.Header.Get("x-amz-Checksum") != want || r.Header.Get("x-amz-Checksum-Algorithm") != "SHA256" {
		return 0, nil, invalid("the checksum is not that of the block")
	}
	o.blocks[n], o.data[n] = string(sum[:]), body
	f.trace = append(f.trace, "PutSnapshotBlock "+id+" "+index+" "+hex.EncodeToString(sum[:4]))
	h.Set("x-amz-Checksum", want)
	h.Set("x-amz-Checksum-Algorithm", "SHA256")
	return http.StatusCreated, map[string]string{}, nil
}

func (f *Fake) completeSnapshot(r *http.Request) (int, any, error) {
	id := strings.TrimPrefix(r.URL.Path, "/snapshots/completion/")
	o, err := f.find("snapshot", id, "")
	if err != nil {
		return 0, nil, unknownSnapshot(id)
	}
	if o.state != "pending" || o.a["sealed"] != "" {
		return 0, nil, invalid("the snapshot is not in the pending state")
	}
	linear := sha256.New()
	for _, n := range slices.Sorted(maps.Keys(o.blocks)) {
		linear.Write([]byte(o.blocks[n]))
	}
	if r.Header.Get("x-amz-ChangedBlocksCount") != strconv.Itoa(len(o.blocks)) {
		return 0, nil, invalid("%s blocks were written, not %d",
			r.Header.Get("x-amz-ChangedBlocksCount"), len(o.blocks))
	}
	if r.Header.Get("x-amz-Checksum") != base64.StdEncoding.EncodeToString(linear.Sum(nil)) ||
		r.Header.Get("x-amz-Checksum-Aggregation-Method") != "LINEAR" ||
		r.Header.Get("x-amz-Checksum-Algorithm") != "SHA256" {
		return 0, nil, invalid("the checksum is not that of the blocks")
	}
	f.trace = append(f.trace, "CompleteSnapshot "+id+" "+r.Header.Get("x-amz-ChangedBlocksCount"))
	o.a["sealed"] = "true"
	f.become(o, "pending", "completed")
	return http.StatusAccepted, map[string]string{"Status": o.state}, nil
}
