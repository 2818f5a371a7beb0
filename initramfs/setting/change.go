package setting

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"griddle/appliance/setting"
	"griddle/initramfs/sysroot"
)

// SSH is what this package wrote for the ssh server in root. Users are those that the secure state lets in.
func SSH(root *os.Root) (now setting.SSH, users []string, err error) {
	w := &writer{Dir: sysroot.Dir{Root: root}}
	text, err := w.Read(sshdOurs)
	if err != nil {
		return setting.SSH{}, nil, err
	}
	if text == nil {
		main, err := w.Read(sshdMain)
		if err != nil {
			return setting.SSH{}, nil, err
		}
		text = insideBlock(main)
	}
	for _, line := range linesOf(text) {
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "Port":
			if now.Port, err = strconv.Atoi(value); err != nil {
				return setting.SSH{}, nil, fmt.Errorf("reading /%s: the port %q is not a number", sshdOurs, value)
			}
		case "PermitRootLogin":
			now.RootLogin = map[string]setting.RootLogin{"no": setting.RootNever, "yes": setting.RootYes,
				"prohibit-password": setting.RootKeys}[value]
		case "PasswordAuthentication":
			yes := value == "yes"
			now.PasswordLogin = &yes
		case "AuthenticationMethods":
			now.Secure = value == "publickey"
		case "AllowUsers":
			users = strings.Fields(value)
		}
	}
	return now, users, nil
}

// ChangeSSH writes what the ssh server in root is configured with, in place of what SSH returns. In the secure state it
// lets in the users, and there must be some.
func ChangeSSH(root *os.Root, s setting.SSH, users []string) error {
	w := &writer{Dir: sysroot.Dir{Root: root}, s: setting.Settings{SSH: s}}
	if s.Secure && len(users) == 0 {
		return errors.New("changing ssh: the secure state needs a user with a key")
	}
	for _, u := range users {
		w.s.Users = append(w.s.Users, setting.User{Name: u, Keys: []string{"one"}})
	}
	return w.ssh(context.Background())
}

// Sudo reports whether this package lets a user become root.
func Sudo(root *os.Root, user string) (bool, error) {
	b, err := sysroot.Dir{Root: root}.Read(sudoersFile)
	return slices.Contains(linesOf(b), sudoersLine(user)), err
}

func sudoersLine(user string) string { return user + " ALL=(ALL:ALL) NOPASSWD: ALL" }

// othersSudo are the lines of users that the settings do not name: they stay.
func (w *writer) othersSudo() ([]string, error) {
	old, err := w.Read(sudoersFile)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(linesOf(old), func(line string) bool {
		name, _, _ := strings.Cut(line, " ")
		return line != sudoersLine(name) ||
			slices.ContainsFunc(w.s.Users, func(u setting.User) bool { return u.Name == name })
	}), nil
}
