package job

// Neighbour is the switch that a network interface is connected to, as it said by LLDP (IEEE 802.1AB): a claim, because
// any computer on the wire can say so. Its zero value means that nothing was heard.
type Neighbour struct {
	Switch      string `json:"switch,omitempty"`      // its name, else the ID of its chassis, such as a MAC address
	Port        string `json:"port,omitempty"`        // the ID of the port, such as "Gi1/0/7"
	Description string `json:"description,omitempty"` // of the port, as its administrator wrote it
}

// String is the switch, the port and its description for people; "" if nothing was heard.
func (n Neighbour) String() string {
	text := Printable(n.Switch)
	if port := Printable(n.Port); port != "" {
		text += ", port " + port
	}
	if what := Printable(n.Description); what != "" {
		text += " (" + what + ")"
	}
	return text
}

// bounded is n with each string cut.
func (n Neighbour) bounded() Neighbour {
	return Neighbour{Switch: clip(n.Switch), Port: clip(n.Port), Description: clip(n.Description)}
}
