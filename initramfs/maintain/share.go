package maintain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"griddle/appliance/setting"
	shares "griddle/initramfs/share"
)

var (
	nfsSource = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9a-fA-F:.]+\]):/[^\\"]*$`)
	smbSource = regexp.MustCompile(`^//[A-Za-z0-9][A-Za-z0-9.-]*/[^\\"]+$`)
)

// taken are folders that a share must not hide, and below are those with nothing of their own in them.
var (
	taken = []string{"/", "/bin", "/home", "/lib", "/lib64", "/persistent", "/root", "/sbin", "/usr", "/var",
		"/usr/lib", "/usr/bin", "/usr/sbin", "/var/lib"}
	below = []string{"/dev", "/proc", "/run", "/sys", "/etc", "/boot"}
)

func share() Task {
	return Task{
		Name: "share", Title: "Share", Example: "//files.example.org/lab /srv/lab --user lab --password",
		About: "Mounts a share of NFS or SMB at each start, when it is first used. A share at the same folder is " +
			"replaced.",
		Fields: []Field{
			{Name: "source", Label: "Share", Help: "host:/path for NFS, //host/share for SMB", Required: true,
				First: true},
			{Name: "at", Label: "Folder", Help: "of this machine, such as /srv/lab", Required: true, First: true},
			{Name: "user", Label: "User", Help: "of SMB; empty: as a guest"},
			{Name: "password", Label: "Password", Help: "of that user", Secret: true}},
		check: func(v Values) (setting.Settings, error) {
			isNFS, isSMB := nfsSource.MatchString(v["source"]), smbSource.MatchString(v["source"])
			switch {
			case !isNFS && !isSMB:
				return setting.Settings{}, errors.New("the share is host:/path for NFS, or //host/share for SMB")
			case isNFS && (v["user"] != "" || v["password"] != ""):
				return setting.Settings{}, errors.New("NFS takes no user and no password")
			case v["user"] == "" && v["password"] != "":
				return setting.Settings{}, errors.New("there is a password without a user")
			}
			return setting.Settings{}, checkFolder(v["at"])
		},
		do: addShare,
	}
}

func checkFolder(at string) error {
	switch {
	case !path.IsAbs(at) || path.Clean(at) != at || strings.ContainsAny(at, `\"#`):
		return fmt.Errorf("the folder %q is not an absolute path in its shortest form", at)
	case slices.Contains(taken, at) ||
		slices.ContainsFunc(below, func(b string) bool { return at == b || strings.HasPrefix(at, b+"/") }):
		return fmt.Errorf("the folder %s belongs to the system: use one such as /srv/lab", at)
	}
	return nil
}

func addShare(ctx context.Context, w *work) error {
	kind, program, install := "nfs", "mount.nfs", "nfs-common or nfs-utils"
	if strings.HasPrefix(w.v["source"], "//") {
		kind, program, install = "cifs", "mount.cifs", "cifs-utils"
	}
	if w.dir.Program(program) == "" {
		return fmt.Errorf("the system has no %s: install the package %s", program, install)
	}
	at := w.v["at"]
	lines, err := w.fstabWithout(at)
	if err != nil {
		return err
	}
	options := "_netdev,nofail,x-systemd.automount,x-systemd.mount-timeout=30," + shares.Mark
	switch {
	case kind == "cifs" && w.v["user"] == "":
		options += ",guest"
	case kind == "cifs":
		file := credentials(at)
		text := "username=" + w.v["user"] + "\npassword=" + w.v["password"] + "\n"
		if err := w.dir.Write(file, []byte(text), 0o600); err != nil {
			return err
		}
		options += ",credentials=/" + file
	}
	if st, err := w.dir.Lstat(rel(at)); err == nil && !st.IsDir() {
		return fmt.Errorf("%s exists and is not a folder", at)
	}
	if err := w.dir.MakeDir(rel(at), 0o755); err != nil {
		return err
	}
	lines = append(lines, fmt.Sprintf("%s %s %s %s 0 0", shares.Escape(w.v["source"]), shares.Escape(at), kind,
		options))
	if err := w.writeFstab(lines); err != nil {
		return err
	}
	w.say("%s is mounted on %s at each start.", w.v["source"], at)
	if !w.Running || w.Run == nil {
		return nil
	}
	if err := w.run(ctx, "systemctl", "daemon-reload"); err != nil {
		return err
	}
	if err := w.run(ctx, "mount", at); err != nil {
		return fmt.Errorf("the line is in /etc/fstab, but mounting it now failed: %w", err)
	}
	w.say("It is mounted now.")
	return nil
}

func unshare() Task {
	return Task{
		Name: "unshare", Title: "Remove a share", Example: "/srv/lab",
		About: "Removes a share that share added. What is on the server stays.",
		Fields: []Field{{Name: "at", Label: "Folder", Help: "of this machine, such as /srv/lab", Required: true,
			First: true}},
		check: func(v Values) (setting.Settings, error) { return setting.Settings{}, checkFolder(v["at"]) },
		do: func(ctx context.Context, w *work) error {
			at := w.v["at"]
			before, err := w.dir.Read("etc/fstab")
			if err != nil {
				return err
			}
			lines, err := w.fstabWithout(at)
			if err != nil {
				return err
			}
			if len(lines) == strings.Count(string(before), "\n") {
				return fmt.Errorf("there is no share at %s", at)
			}
			if err := w.writeFstab(lines); err != nil {
				return err
			}
			if err := w.dir.Remove(credentials(at)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("removing the password of the share: %w", err)
			}
			w.say("The share at %s is removed.", at)
			if !w.Running || w.Run == nil {
				return nil
			}
			if err := w.run(ctx, "systemctl", "daemon-reload"); err != nil {
				return err
			}
			if err := w.run(ctx, "umount", at); err != nil {
				w.say("It is still mounted: a program uses it. It is gone after a restart.")
			}
			return nil
		},
	}
}

// fstabWithout is the lines of fstab without the share at a folder. A line that is not ours is an error.
func (w *work) fstabWithout(at string) ([]string, error) {
	b, err := w.dir.Read("etc/fstab")
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(line, "\n")
		folder, ours := shares.Folder(line)
		if folder != at {
			out = append(out, line)
			continue
		}
		if !ours {
			return nil, fmt.Errorf("/etc/fstab has %s already, and not as a share of this command: change it there", at)
		}
	}
	return out, nil
}

func (w *work) writeFstab(lines []string) error {
	return w.dir.Replace("etc/fstab", []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

// credentials is the file of a share's user and password; no two folders have the same one.
func credentials(at string) string {
	name := strings.NewReplacer("_", "_5f", "-", "_2d", " ", "_20", "/", "-").Replace(rel(at))
	return path.Join(shares.Dir, name)
}

func rel(at string) string { return strings.TrimPrefix(at, "/") }
