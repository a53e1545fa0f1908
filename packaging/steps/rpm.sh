# shellcheck shell=bash
# The rpm.

make_rpm() {
    local folder=$work/$1/rpm target name script
    target=$(target_of "$1")
    target=${target%%-*}
    name=holdfast-$package_version-$release.$target.rpm
    # rpm reads scripts given by name from BUILD, and finds in this home no macros of the caller's.
    mkdir -p "$folder"/{BUILD,home}
    for script in packaging/scripts/rpm/*; do
        script_of rpm "${script##*/}" >"$folder/BUILD/${script##*/}"
    done
    rpm_changelog >"$folder/changelog"
    HOME=$folder/home rpmbuild -bb --quiet --target "$target-linux" \
        --define "_topdir $folder" --define "_rpmdir $folder" --define "_rpmfilename $name" \
        --define "holdfast_version $package_version" --define "holdfast_release $release" \
        --define "holdfast_tree $tree" --define "holdfast_license $root/LICENSE" --define "holdfast_changelog $folder/changelog" \
        packaging/holdfast.spec
    mv "$folder/$name" "$out/$name"
    made+=("$name")
}

# The Debian changelog in rpm's words.
rpm_changelog() {
    local line version='' entries=''
    while IFS= read -r line; do
        case "$line" in
            'holdfast ('*) version=${line#*\(} version=${version%%\)*} entries='' ;;
            '  * '*) entries+="- ${line#  \* }"$'\n' ;;
            '    '*) entries+="  ${line#    }"$'\n' ;;
            ' -- '*)
                printf '* %s %s - %s\n%s\n' "$(date -d "${line#*>  }" '+%a %b %d %Y')" "$(sed 's/^ -- //; s/>.*/>/' <<<"$line")" "$version" "${entries//%/%%}"
                ;;
        esac
    done <"$changelog"
}
