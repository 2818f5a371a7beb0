// Package multicast is `griddle multicast`: it shows and controls the sessions that send an image to many machines at once.
package multicast

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/imagestore/multicast"
)

func Command(e *cli.Env) *cobra.Command {
	c := cli.Group("multicast", "See and steer what goes to many machines at once",
		"See and steer the multicast sessions. Nobody has to start one: machines that want the same image within a short time\n"+
			"get it together, and whoever comes late joins.\n\n"+
			"A session is named by its 16 hex digits, or by as many of the first ones as tell it from the others.")
	s := &sessions{e: e, remote: cli.RemoteFlags(e, c)}
	s.out.AddBelow(c)
	c.AddCommand(s.listCommand(), s.startCommand(), s.holdCommand(), s.capCommand(), s.stopCommand(), s.relayCommand())
	return c
}

// sessions is what the commands of the group have in common.
type sessions struct {
	e      *cli.Env
	remote *cli.Remote
	out    cli.Output
}

func (s *sessions) listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short: "List the sessions and their receivers",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := s.remote.Client()
			if err != nil {
				return err
			}
			var got []multicast.Listed
			if err := client.Multicast(c.Context(), &got); err != nil {
				return cli.ExplainRemote(err)
			}
			return s.out.Print(s.e, got, func() { sessionTable(s.e.Stdout, got, time.Now()) })
		},
	}
}

// sessionTable draws the list: a line for each session, and one for each of its receivers that is still heard of.
func sessionTable(out io.Writer, list []multicast.Listed, now time.Time) {
	if len(list) == 0 {
		fmt.Fprintln(out, "No session: nobody asks for an image that another machine wants too.")
		return
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "SESSION\tSTATE\tSENT\tOF\tRATE\tRECEIVERS\tREPAIR\tSENDER\tAGE")
	for _, s := range list {
		from := s.Link
		if s.Relay != "" {
			from = "relay " + job.Printable(s.Relay)
		}
		st := s.Status
		fmt.Fprintf(w, "%v\t%v\t%d %%\t%s\t%s/s\t%d\t%s\t%s\t%v\n", s.ID, st.State, st.Percent(), job.Bytes(s.Size), job.Bytes(st.Rate), len(st.Receivers),
			job.Bytes(st.Parity+st.Again), from, now.Sub(s.Started).Round(time.Second))
		for _, r := range st.Receivers {
			name := s.Names[r.Number]
			if name == "" {
				name = fmt.Sprintf("receiver %d", r.Number)
			}
			fmt.Fprintf(w, "  %s\t%s\t%d blocks left\t\t\t\tloss %.1f %%\t\t\n", job.Printable(name), r.State, r.Missing, 100*r.Loss)
		}
	}
	w.Flush()
}

// control finds the session and has action done to it.
func (s *sessions) control(c *cobra.Command, name, action string, in api.StreamControl, said string) error {
	client, err := s.remote.Client()
	if err != nil {
		return err
	}
	var all []multicast.Listed
	if err := client.Multicast(c.Context(), &all); err != nil {
		return cli.ExplainRemote(err)
	}
	var fit []string
	for _, one := range all {
		if strings.HasPrefix(one.ID.String(), strings.ToLower(name)) {
			fit = append(fit, one.ID.String())
		}
	}
	switch {
	case len(fit) == 0:
		return fmt.Errorf("there is no session %s; `griddle multicast list` shows those that run", job.Printable(name))
	case len(fit) > 1:
		slices.Sort(fit)
		return fmt.Errorf("%d sessions begin with %s: %s", len(fit), job.Printable(name), strings.Join(fit, ", "))
	}
	if err := client.Control(c.Context(), fit[0], action, in); err != nil {
		return cli.ExplainRemote(err)
	}
	fmt.Fprintf(s.e.Stdout, "%s: %s\n", fit[0], said)
	return nil
}

func (s *sessions) startCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "start SESSION",
		Short: "Start sending now, without waiting for more machines",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return s.control(c, args[0], "start", api.StreamControl{}, "it starts; who comes later still joins")
		},
	}
}

func (s *sessions) holdCommand() *cobra.Command {
	var d time.Duration
	var resume bool
	c := &cobra.Command{
		Use:   "hold SESSION",
		Short: "Send nothing for a while; the machines wait, and say so",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if resume {
				return s.control(c, args[0], "hold", api.StreamControl{}, "it goes on")
			}
			if d < time.Second || d > multicast.MaxHold {
				return cli.Usagef("--for %v is not between a second and %v", d, multicast.MaxHold)
			}
			return s.control(c, args[0], "hold", api.StreamControl{Seconds: int64(d / time.Second)}, fmt.Sprintf("held for %v, or until `griddle multicast hold --resume`", d))
		},
	}
	c.Flags().DurationVar(&d, "for", 5*time.Minute, "how long; it goes on by itself then")
	c.Flags().BoolVar(&resume, "resume", false, "go on now")
	return c
}

func (s *sessions) capCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "cap SESSION MBIT",
		Short:   "Limit a session to so many Mbit/s; 0 lifts the limit",
		Example: "  griddle multicast cap 5c3a 40",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			var mbit float64
			if _, err := fmt.Sscanf(args[1]+"\n", "%g\n", &mbit); err != nil || mbit < 0 || mbit > 400_000 || mbit > 0 && mbit < 0.2 {
				return cli.Usagef("%q is not a rate in Mbit/s, 0.2 to 400000, or 0", args[1])
			}
			said := "it has no limit of its own any more"
			if mbit > 0 {
				said = fmt.Sprintf("it sends %g Mbit/s at most", mbit)
			}
			return s.control(c, args[0], "cap", api.StreamControl{Rate: int64(mbit * 1e6 / 8)}, said)
		},
	}
}

func (s *sessions) stopCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "stop SESSION",
		Short: "End a session; its machines go on by HTTP",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return s.control(c, args[0], "stop", api.StreamControl{}, "stopped; its machines go on by HTTP")
		},
	}
}

func (s *sessions) relayCommand() *cobra.Command {
	var in api.Relay
	c := &cobra.Command{
		Use:   "relay MACHINE --image IMAGE",
		Short: "Have a machine fetch an image once and give it to its neighbours",
		Long: "Have a machine relay an image: at its next boot from the network it fetches the image once, into its memory,\n" +
			"and sends it to the other machines of its own network, by multicast and by HTTP. It touches no disk, and\n" +
			"needs a tenth more free memory than the image has bytes over the network. It relays until\n" +
			"`griddle machine cancel MACHINE`. Machines on a network that the appliance is not on itself do the same for\n" +
			"each other unasked, while they install.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if in.Image == "" {
				return cli.Usagef("--image is needed")
			}
			client, err := s.remote.Client()
			if err != nil {
				return err
			}
			got, err := client.Relay(c.Context(), args[0], in)
			if err != nil {
				return cli.ExplainMachine(err)
			}
			return s.out.Print(s.e, got, func() {
				fmt.Fprintf(s.e.Stdout, "%s relays %s. Switch it on, or restart it, with network boot first.\n", got.Name, got.Job.Spec.Image.Ref)
			})
		},
	}
	c.Flags().StringVar(&in.Image, "image", "", "`IMAGE` to relay, NAME[:VERSION|:CHANNEL]")
	return c
}
