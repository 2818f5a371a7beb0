package resident

// UnitName is the service's systemd unit.
const UnitName = "griddle-agent.service"

// Unit is the unit's text. The last good program counts the starts of a new one, so that one that does not even start
// is replaced again; a leading hyphen says that it may fail, and it is missing before the first update. systemd starts
// the service again whatever happens, also after it replaced itself.
//
// The service runs as root, because it replaces its own program and, later, updates the system. It may write to its two
// folders only. CAP_DAC_OVERRIDE is for the TPM, which distributions give to a group of its own.
const Unit = `[Unit]
Description=Keep this machine in touch with its Griddle server
ConditionPathExists=` + Dir + "/" + ConfigFile + `
RequiresMountsFor=` + Dir + `
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStartPre=-` + Programs + `/griddle-agent.last-good service --guard
ExecStart=` + Programs + `/griddle-agent service
Restart=always
RestartSec=15
MemoryMax=256M
CapabilityBoundingSet=CAP_DAC_OVERRIDE
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=` + Programs + " " + Dir + `
ProtectHome=yes
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
DevicePolicy=closed
DeviceAllow=/dev/tpmrm0 rw
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
`
