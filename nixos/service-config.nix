# What nix-sandbox-escape-hatch took as extraServiceConfig, of which a builder of hatch can keep something: by the name of
# a directive of systemd.exec(5), systemd.service(5) or systemd.resource-control(5), which values it may have, and what
# they become. `read VALUE` is a part of a definition, { } where it holds of every builder, or null where it cannot be
# kept: above all where it would let the builder do more than hatch lets any. A time is { seconds }, the shorter of two.
{ lib }:
let
  # --- values, as systemd takes them ---

  text =
    value:
    if builtins.isBool value then
      (if value then "true" else "false")
    else if builtins.isInt value then
      toString value
    else if builtins.isString value then
      value
    else
      "";

  isTrue = value: builtins.match "1|yes|y|true|t|on" (text value) != null;
  isFalse = value: builtins.match "0|no|n|false|f|off" (text value) != null;

  # Of one or several lines; none if one is empty, which takes back those before.
  words =
    value:
    let
      lines = map text (lib.toList value);
      split = line: lib.filter (word: builtins.isString word && word != "") (builtins.split "[[:space:]]+" line);
    in
    if lib.elem "" lines then [ ] else lib.concatMap split lines;

  # "050" is fifty.
  number = digits: lib.toInt (lib.last (builtins.match "0*([0-9]+)" digits));

  # Of 1 to `last`.
  countOf =
    last: value:
    let
      digits = builtins.match "[0-9]{1,7}" (text value);
      count = number (text value);
    in
    if digits != null && count >= 1 && count <= last then count else null;

  bytes = {
    "" = 1;
    K = 1024;
    M = 1048576;
    G = 1073741824;
    T = 1099511627776;
  };
  # Of `least` bytes to 1024T, as hatchd takes them.
  sizeOf =
    least: value:
    let
      parts = builtins.match "([0-9]{1,15})([KMGT]?)" (text value);
      unit = lib.last parts;
      count = number (builtins.head parts);
      isWithin = count <= 1024 * bytes.T / bytes.${unit} && count * bytes.${unit} >= least;
    in
    if parts == null || !isWithin then
      null
    else if unit == "" then
      count
    else
      "${toString count}${unit}";

  # "1.25%" is 0.0125. Above zero.
  shareOf =
    value:
    let
      parts = builtins.match "([0-9]{1,6})([.]([0-9]{1,2}))?%" (text value);
      fraction = lib.last parts;
      hundredths =
        if fraction == null then
          0
        else if builtins.stringLength fraction == 1 then
          number fraction * 10
        else
          number fraction;
      share = (number (builtins.head parts) * 100 + hundredths) / 10000.0;
    in
    if parts != null && share > 0 then share else null;

  seconds =
    let
      each = count: names: lib.genAttrs (words names) (_: count);
    in
    {
      "" = 1;
    }
    // each 1 "s sec second seconds"
    // each 60 "m min minute minutes"
    // each 3600 "h hr hour hours"
    // each 86400 "d day days"
    // each 604800 "w week weeks";
  # "1h 30min"
  secondsOf =
    value:
    let
      pieces = builtins.split "([0-9]+)[[:space:]]*([a-z]*)" (text value);
      spans = lib.filter lib.isList pieces;
      isSpan =
        piece:
        if lib.isList piece then
          # More digits are above every limit.
          builtins.stringLength (builtins.head piece) <= 8 && seconds ? ${lib.last piece}
        else
          builtins.match "[[:space:]]*" piece != null;
    in
    if spans != [ ] && lib.all isSpan pieces then
      lib.foldl' (sum: span: sum + number (builtins.head span) * seconds.${lib.last span}) 0 spans
    else
      null;

  # --- rows ---

  # Weaker than what somebody says in services.hatch.builders, stronger than what every such builder gets.
  given = lib.mkOverride 900;
  limit = name: value: if value == null then null else { limits.${name} = given value; };

  # What every builder is kept from, by each of these values.
  holds = also: {
    expected = lib.concatStringsSep ", " ([ "true" ] ++ also);
    read = value: if isTrue value || lib.elem value also then { } else null;
  };
  holdsAs = values: {
    expected = lib.concatStringsSep ", " values;
    read = value: if lib.elem value values then { } else null;
  };

  sizeLimit = name: {
    expected = "bytes, from 4M to 1024T, as a number or with K, M, G or T, or infinity";
    read = value: if value == "infinity" then { } else limit name (sizeOf (4 * bytes.M) value);
  };

  yearSec = 31536000;
  timeLimit = zero: {
    expected = "a time of a second to a year, such as 90 or \"1h 30min\", or infinity, which is a year";
    read =
      value:
      let
        span = if value == "infinity" then yearSec else secondsOf value;
        time = if span == 0 then zero else span;
      in
      if time != null && time <= yearSec then { seconds = time; } else null;
  };

  # None but those of this list, or all but those behind "~".
  families =
    value:
    let
      list = words value;
      first = builtins.head list;
      isDenial = lib.hasPrefix "~" first;
      named = [ (lib.removePrefix "~" first) ] ++ builtins.tail list;
      has = family: isDenial != lib.elem family named;
      isFamily = word: builtins.match "AF_[A-Z0-9]+" word != null;
    in
    if value == "none" then
      { network = given "none"; }
    else if list == [ ] || !lib.all isFamily named then
      null
    else if !has "AF_INET" && !has "AF_INET6" then
      { network = given "none"; }
    else if has "AF_INET" && has "AF_INET6" && has "AF_UNIX" then
      { }
    else
      null;

  # The groups of systemd that no builder may call, or that do nothing without a capability.
  neverCalled = [
    "@clock"
    "@cpu-emulation"
    "@debug"
    "@keyring"
    "@module"
    "@mount"
    "@obsolete"
    "@privileged"
    "@raw-io"
    "@reboot"
    "@swap"
  ];
  # Of each line all words, if the first begins with "~".
  callFilter =
    line:
    let
      groups = words (lib.removePrefix "~" line);
    in
    line == "@system-service"
    || lib.hasPrefix "~" line && groups != [ ] && lib.all (group: lib.elem group neverCalled) groups;

  denials =
    value: words value != [ ] && lib.all (line: lib.hasPrefix "~" (text line)) (lib.toList value);
in
{
  # --- limits ---
  CPUQuota = {
    expected = "a percentage above zero, such as \"150%\"";
    read = value: limit "cpus" (shareOf value);
  };
  IOWeight = {
    expected = "a number from 1 to 10000";
    read = value: limit "io_weight" (countOf 10000 value);
  };
  MemoryHigh = sizeLimit "memory_high";
  MemoryMax = sizeLimit "memory";
  MemorySwapMax = {
    expected = "bytes, up to 1024T, as a number or with K, M, G or T";
    read = value: limit "swap" (sizeOf 0 value);
  };
  TasksMax = {
    expected = "a number from 1 to 4194304, or infinity";
    read = value: if value == "infinity" then { } else limit "tasks" (countOf 4194304 value);
  };
  RuntimeMaxSec = timeLimit null;
  TimeoutStartSec = timeLimit yearSec;

  # --- network, and who one is ---
  PrivateNetwork = {
    expected = "true or false";
    read =
      value:
      if isTrue value then
        { network = given "none"; }
      else if isFalse value then
        { }
      else
        null;
  };
  RestrictAddressFamilies = {
    expected = "none, families without AF_INET and AF_INET6, or AF_UNIX with both of them";
    read = families;
  };
  SupplementaryGroups = {
    expected = "names of groups";
    read = value: if words value == [ ] then null else { groups = given (words value); };
  };

  # --- hardening that holds of every builder ---
  AmbientCapabilities = {
    expected = "nothing";
    read = value: if value == "" then { } else null;
  };
  CapabilityBoundingSet = {
    expected = "nothing, or ~ and the names of capabilities";
    read = value: if value == "" || denials value then { } else null;
  };
  DynamicUser = holds [ ];
  KeyringMode = holdsAs [ "private" ];
  LockPersonality = holds [ ];
  NoNewPrivileges = holds [ ];
  PrivateDevices = holds [ ];
  PrivateIPC = holds [ ];
  PrivateMounts = holds [ ];
  PrivateTmp = holds [ "disconnected" ];
  PrivateUsers = holds [ "self" ];
  ProtectClock = holds [ ];
  ProtectControlGroups = holds [
    "private"
    "strict"
  ];
  ProtectHome = holds [
    "read-only"
    "tmpfs"
  ];
  ProtectHostname = holds [ "private" ];
  ProtectKernelLogs = holds [ ];
  ProtectKernelModules = holds [ ];
  ProtectKernelTunables = holds [ ];
  ProtectProc = holdsAs [
    "invisible"
    "noaccess"
    "ptraceable"
  ];
  ProtectSystem = holds [
    "full"
    "strict"
  ];
  RemoveIPC = holds [ ];
  RestrictNamespaces = {
    expected = "true, or ~ and the names of namespaces";
    read = value: if isTrue value || denials value then { } else null;
  };
  RestrictRealtime = holds [ ];
  RestrictSUIDSGID = holds [ ];
  SystemCallArchitectures = holdsAs [ "native" ];
  SystemCallErrorNumber = holdsAs [ "EPERM" ];
  SystemCallFilter = {
    expected = "@system-service, or ~ and groups of ${lib.concatStringsSep " " neverCalled}";
    read =
      value:
      let
        lines = map text (lib.toList value);
      in
      if lines != [ ] && lib.all callFilter lines then { } else null;
  };
  # Nobody else sees what it makes, and modes in outputs are those of Nix.
  UMask = {
    expected = "an octal number, such as \"0077\"";
    read = value: if builtins.match "0?[0-7]{3}" (text value) != null then { } else null;
  };
}
