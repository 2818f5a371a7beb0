package imagestore_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"griddle/imagestore"
	"griddle/imagestore/minisign"
	"griddle/imagestore/ref"
	"griddle/imagestore/source"
	"griddle/imagestore/source/sourcetest"
)

// templates gives the directory with the Debian templates T1, T1U, T2 and T3 of testdata/templates.sh as subvolumes of
// one btrfs. They are made once, which takes some minutes and the network, and kept in ~/.cache/griddle.
func templates(b *testing.B) string {
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			b.Fatal(err)
		}
		cache = filepath.Join(home, ".cache")
	}
	script, err := os.ReadFile("testdata/templates.sh")
	if err != nil {
		b.Fatal(err)
	}
	sum := sha256.Sum256(script)
	file := filepath.Join(cache, "griddle", "deltas-"+hex.EncodeToString(sum[:6])+".zst")
	if _, err := os.Stat(file); err != nil {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			b.Fatal(err)
		}
		sourcetest.Run(b, "testdata/templates.sh", "http://deb.debian.org/debian", file)
	}
	dir := sourcetest.BtrfsOf(b, 8<<30)
	sourcetest.Run(b, "sh", "-c", "zstd -dc "+file+" | btrfs -q receive "+dir)
	return dir
}

// BenchmarkDelta prints what a machine that has one Debian template fetches to come to another: package upgrades (T1 to
// T1U), these with vim and nginx (T1 to T2), and those with build-essential (T2 to T3). Each size is beside those of
// its peers, and `plain` is of the encoding for who has no files of the parent: what btrfs send gives to `zstd -19
// --long=27`, what rsync -z transfers when it compares all files, and the chunks of casync that are new. The goals are
// 0.7 of zstd-19 and 1.0 of rsync for the first pair, and 1.0 of zstd-19 for the second.
func BenchmarkDelta(b *testing.B) {
	dir := templates(b)
	for _, pair := range [][2]string{{"T1", "T1U"}, {"T1", "T2"}, {"T2", "T3"}} {
		b.Run(pair[0]+"-"+pair[1], func(b *testing.B) {
			from, to := filepath.Join(dir, pair[0]), filepath.Join(dir, pair[1])
			for b.Loop() {
				ours, plain := deltaBytes(b, from, to)
				z19 := pipedBytes(b, "btrfs -q send -p "+from+" "+to+" | zstd -q -19 --long=27 -T1")
				rsync := rsyncBytes(b, from, to)
				casync := casyncBytes(b, from, to)
				b.ReportMetric(float64(ours)/1e6, "ours-MB")
				b.ReportMetric(float64(plain)/1e6, "plain-MB")
				b.ReportMetric(float64(ours)/float64(z19), "of-zstd-19")
				b.ReportMetric(float64(ours)/float64(rsync), "of-rsync")
				b.ReportMetric(float64(ours)/float64(casync), "of-casync")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}

// BenchmarkRecompress prints what a first install fetches of a recompressed image, in parts of one solid
// stream. The goal is 1.03.
func BenchmarkRecompress(b *testing.B) {
	to := filepath.Join(templates(b), "T1")
	for b.Loop() {
		st, r := benchStore(b, to)
		recompress(b, st)
		p, err := st.Plan(b.Context(), r)
		if err != nil {
			b.Fatal(err)
		}
		solid := pipedBytes(b, "btrfs -q send "+to+" | zstd -q -19 --long=27 -T1")
		b.ReportMetric(float64(p.Wire())/1e6, "ours-MB")
		b.ReportMetric(float64(p.Wire())/float64(solid), "of-solid-zstd-19")
		b.ReportMetric(0, "ns/op")
	}
}

// benchStore publishes subvolumes as versions of one template, and gives the last one's reference.
func benchStore(b *testing.B, dirs ...string) (*imagestore.Store, ref.Ref) {
	st, err := imagestore.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	if st.Key, err = minisign.GenerateKey(); err != nil {
		b.Fatal(err)
	}
	if err := st.TrustKey(b.Context(), st.Key.Public()); err != nil {
		b.Fatal(err)
	}
	var name ref.Ref
	for i, dir := range dirs {
		src, err := source.Find(b.Context(), "btrfs:"+dir, source.Options{})
		if err != nil {
			b.Fatal(err)
		}
		p, err := st.Publish(b.Context(),
			imagestore.PublishOptions{Source: src, Ref: ref.Ref{Name: "t", Version: strconv.Itoa(i + 1)}, Key: st.Key})
		if err != nil {
			b.Fatal(err)
		}
		if name, err = ref.Parse(p.Ref); err != nil {
			b.Fatal(err)
		}
		if i > 0 && p.Kind != "delta" {
			b.Fatalf("%s was published %s", dir, p.Kind)
		}
	}
	return st, name
}

func recompress(b *testing.B, st *imagestore.Store) {
	if err := st.Recompress(b.Context(), imagestore.RecompressOptions{}, nil); err != nil {
		b.Fatal(err)
	}
}

// deltaBytes publishes both, and gives the bytes of the delta for who has the files of from, and for who has not.
func deltaBytes(b *testing.B, from, to string) (ours, plain int64) {
	st, name := benchStore(b, from, to)
	recompress(b, st)
	first := ref.Ref{Name: "t", Version: "1", Arch: name.Arch}
	with, err := st.PlanWith(b.Context(), name, imagestore.PlanOptions{Have: []ref.Ref{first}, Dictionaries: true})
	if err != nil {
		b.Fatal(err)
	}
	without, err := st.Plan(b.Context(), name, first)
	if err != nil {
		b.Fatal(err)
	}
	return with.Wire(), without.Wire()
}

func pipedBytes(b *testing.B, command string) int64 {
	n, err := strconv.ParseInt(sourcetest.Run(b, "sh", "-c", command+" | wc -c"), 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// rsyncBytes has rsync bring a copy of from to what to is, and counts what went over its pipes.
func rsyncBytes(b *testing.B, from, to string) int64 {
	copied := filepath.Join(filepath.Dir(to), "rsync")
	sourcetest.Run(b, "btrfs", "-q", "subvolume", "snapshot", from, copied)
	defer sourcetest.Run(b, "btrfs", "-q", "subvolume", "delete", copied)
	out := sourcetest.Run(b, "rsync", "-aHAXz", "--no-whole-file", "--delete", "--stats", to+"/", copied+"/")
	var n int64
	for _, m := range regexp.MustCompile(`Total bytes (?:sent|received): ([0-9,]+)`).FindAllStringSubmatch(out, -1) {
		k, err := strconv.ParseInt(strings.ReplaceAll(m[1], ",", ""), 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		n += k
	}
	return n
}

// casyncBytes counts the chunks that to adds to a store that has those of from.
func casyncBytes(b *testing.B, from, to string) int64 {
	if _, err := exec.LookPath("casync"); err != nil {
		b.Fatal("casync is missing; run make deps")
	}
	dir := b.TempDir()
	size := func() (n int64) {
		filepath.Walk(dir, func(_ string, fi os.FileInfo, err error) error {
			if err == nil && fi.Mode().IsRegular() {
				n += fi.Size()
			}
			return nil
		})
		return n
	}
	make := func(name, tree string) {
		sourcetest.Run(b, "casync", "make", "--store="+filepath.Join(dir, "chunks"),
			"--without=subvolume", filepath.Join(dir, fmt.Sprintf("%s.caidx", name)), tree)
	}
	make("from", from)
	before := size()
	make("to", to)
	return size() - before
}
