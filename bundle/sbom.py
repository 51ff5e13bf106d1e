#!/usr/bin/python3
"""SPDX 2.3 JSON of a release bundle: every package and model file with its SHA-256."""
import datetime
import hashlib
import json
import os
import pathlib
import subprocess
import sys

bundle = pathlib.Path(sys.argv[1])
top = pathlib.Path(__file__).resolve().parents[1]
epoch = int(os.environ["SOURCE_DATE_EPOCH"])
created = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
commit = subprocess.run(["git", "-C", top, "rev-parse", "HEAD"], capture_output=True, text=True,
                        check=True).stdout.strip()


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def deb_field(path, field):
    return subprocess.run(["dpkg-deb", "-f", path, field], capture_output=True, text=True,
                          check=True).stdout.strip()


packages = []
for path in sorted((bundle / "packages").glob("*.deb")):
    name, version = deb_field(path, "Package"), deb_field(path, "Version")
    packages.append({
        "SPDXID": f"SPDXRef-deb-{name}".replace("+", "-plus").replace("_", "-"),
        "name": name, "versionInfo": version, "packageFileName": f"packages/{path.name}",
        "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "checksums": [{"algorithm": "SHA256", "checksumValue": sha256(path)}],
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                          "referenceLocator": f"pkg:deb/debian/{name}@{version}?arch=amd64"}],
    })
files = [{
    "SPDXID": f"SPDXRef-file-{i}", "fileName": f"./{path.relative_to(bundle)}",
    "checksums": [{"algorithm": "SHA256", "checksumValue": sha256(path)}],
    "licenseConcluded": "NOASSERTION", "copyrightText": "NOASSERTION",
} for i, path in enumerate(sorted(p for p in (bundle / "models").rglob("*") if p.is_file()))]
json.dump({
    "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
    "name": "stargraph-release-bundle",
    "documentNamespace": f"urn:stargraph:release-bundle:{commit}",
    "creationInfo": {"created": created, "creators": ["Tool: stargraph-bundle-build"],
                     "comment": f"commit {commit}"},
    "packages": packages, "files": files,
    "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES",
                       "relatedSpdxElement": p["SPDXID"]} for p in packages],
}, sys.stdout, indent=1, sort_keys=True)
print()
